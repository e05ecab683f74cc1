// Package dbtest is what every engine must pass: one test for each sentence of service.Store.
//
// Where engines may differ, the tests ask service.Properties, never for an engine by name.
package dbtest

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/topiq/topiq/service"
)

// Run runs the conformance suite. open returns an empty store that is closed by t.Cleanup.
//
// Most tests share one store and work on topics of their own at the same time, as clients do;
// the few that look at the whole store open another.
func Run(t *testing.T, open func(t *testing.T) service.Store) {
	t.Helper()
	shared := &bench{store: open(t), open: open}
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"Topics", topicTests()},
		{"Delete", deleteTests()},
		{"Producers", producerTests()},
		{"Sessions", sessionTests()},
		{"Append", appendTests()},
		{"Duplicates", duplicateTests()},
		{"Again", againTests()},
		{"Resolve", resolveTests()},
		{"Read", readTests()},
		{"Consumers", consumerTests()},
		{"Commits", commitTests()},
		{"Move", moveTests()},
		{"Trim", trimTests()},
		{"Retention", retentionTests()},
		{"Unused", unusedTests()},
		{"Incarnation", incarnationTests()},
		{"Foreign", foreignTests()},
		{"Audit", auditTests()},
		{"Concurrency", concurrencyTests()},
		{"Fencing", fencingTests()},
		{"Races", raceTests()},
		{"Tokens", tokenTests()},
		{"Quotas", quotaTests()},
	} {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) {
					t.Parallel()
					test.run(shared.kit(t))
				})
			}
		})
	}
}

type test struct {
	name string
	run  func(k *kit)
}

// bench is the store that the tests of one Run share.
type bench struct {
	store service.Store
	open  func(t *testing.T) service.Store
	last  atomic.Int64
}

func (b *bench) kit(t *testing.T) *kit {
	t.Helper()
	return &kit{T: t, Store: b.store, bench: b, prefix: fmt.Sprintf("t%04d-", b.last.Add(1))}
}
