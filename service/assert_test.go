package service_test

import (
	"testing"

	"github.com/topiq/topiq/service"
)

// A store that gives back another append than the one that was decided stops the one topic: nobody
// is told of messages that may be elsewhere.
func TestLyingAppendStopsTheTopic(t *testing.T) {
	t.Parallel()
	for name, lie := range map[string]func(*service.AppendPlan){
		"no answers":             func(p *service.AppendPlan) { p.Results = nil },
		"another offset":         func(p *service.AppendPlan) { p.Results[0].Ranges[0].Offset++ },
		"an answer too small":    func(p *service.AppendPlan) { p.Results[0].Ranges[0].Count-- },
		"an offset for nobody":   func(p *service.AppendPlan) { p.Results[0].Ranges[0].Offset = -1 },
		"a seq left out":         func(p *service.AppendPlan) { p.Topics[0].Messages[1].Seq++ },
		"next_seq too small":     func(p *service.AppendPlan) { p.Producers[0].NextSeq-- },
		"last_offset elsewhere":  func(p *service.AppendPlan) { p.Producers[0].LastOffset-- },
		"a count too large":      func(p *service.AppendPlan) { p.Producers[0].AddCount++ },
		"a producer forgotten":   func(p *service.AppendPlan) { p.Producers = nil },
		"a count of nothing":     func(p *service.AppendPlan) { p.Topics = nil },
		"messages of a stranger": func(p *service.AppendPlan) { p.Topics[0].Messages[1].ProdName = "q" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newHooked()
			f := setup(t, open(t, store, service.Config{}))
			p := f.named("p")
			if _, err := f.send(p, 0, "a", "b"); err != nil {
				t.Fatal(err)
			}
			want(t, "violations of an honest store", f.Violations(), 0)
			store.set(func() {
				store.append = func(_ int, do func() (service.AppendPlan, error)) (service.AppendPlan, error) {
					plan, err := do()
					lie(&plan)
					return plan, err
				}
			})
			_, err := f.send(p, 2, "c", "d")
			wantErr(t, "the produce that found it", err, service.ErrInternal)
			store.set(func() { store.append = nil })
			_, err = f.send(p, 4, "e")
			wantErr(t, "later produces", err, service.ErrInternal)
			wantErr(t, "readiness", f.Ready(t.Context()), service.ErrInternal)
			want(t, "violations", f.Violations(), 1)
			if _, _, err := f.RegisterProducer(t.Context(), "other", "p", ""); err != nil {
				t.Errorf("other topics go on: %v", err)
			}
		})
	}
}

// Copies of one message in a group, and one that was stored before, are no violation.
func TestHonestAppendsAreNoViolations(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.named("p")
	for _, produce := range []struct {
		seq   int64
		texts []string
	}{{0, []string{"a", "b"}}, {0, []string{"a", "b"}}, {1, []string{"b", "c"}}, {3, []string{"d"}}} {
		if _, err := f.send(p, produce.seq, produce.texts...); err != nil {
			t.Fatal(err)
		}
	}
	f.produce("without a name")
	want(t, "violations", f.Violations(), 0)
	wantErr(t, "readiness", f.Ready(t.Context()), nil)
}
