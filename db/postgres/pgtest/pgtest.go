// Package pgtest gives tests a real PostgreSQL.
//
// [URL] is what most tests want: the address of an empty database which
// belongs to this test alone. It lives on the server that
// TOPIQ_TEST_POSTGRES_URL names, or else on a throw-away server which the
// first caller in a test binary starts and all its tests share. [Start] gives
// a test a server of its own, to be killed and restarted at will.
//
// A throw-away server keeps the promises a production server keeps: fsync,
// full_page_writes and synchronous_commit are on. It listens on a Unix socket
// only, and it ends with the test binary, also when that is killed.
//
// A missing server fails the test. A skipped test would look like a passed
// one, and the store would go untested where it matters.
package pgtest

import (
	"os"
	"sync"
	"testing"
)

// EnvURL names the environment variable with the address of an existing
// server to test against. Its user must be allowed to create databases.
const EnvURL = "TOPIQ_TEST_POSTGRES_URL"

// URL returns the address of a new, empty database for this test. Several
// brokers of one test may share it. It is dropped, with any connection that
// is still open, when the test and its subtests have ended.
func URL(tb testing.TB) string {
	tb.Helper()

	serverURL := os.Getenv(EnvURL)
	if serverURL == "" {
		cluster, err := shared.get()
		if err != nil {
			tb.Fatalf("pgtest: %v", err)
		}
		serverURL = cluster.URL()
	}

	url, name, err := createDatabase(serverURL)
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	tb.Cleanup(func() {
		if err := dropDatabase(serverURL, name); err != nil {
			tb.Errorf("pgtest: %v", err)
		}
	})
	return url
}

// Main runs the tests of a binary and then stops the server they shared, so
// that nothing is left when the binary has ended. A package without it is
// cleaned up too, a moment after its end. Use it as
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
func Main(m *testing.M) int {
	code := m.Run()
	if err := shared.stop(); err != nil {
		_, _ = os.Stderr.WriteString("pgtest: " + err.Error() + "\n")
		return max(code, 1)
	}
	return code
}

// shared is the one server of this test binary. Starting it takes a second,
// which is too much for every test and too little to share between binaries.
var shared sharedCluster //nolint:gochecknoglobals // its lifetime is that of the process

type sharedCluster struct {
	mu      sync.Mutex
	cluster *Cluster
	err     error
}

// get starts the server on the first call. A failure is remembered: where one
// start failed the next would only fail more slowly.
func (s *sharedCluster) get() (*Cluster, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cluster == nil && s.err == nil {
		s.cluster, s.err = New()
	}
	return s.cluster, s.err
}

func (s *sharedCluster) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cluster == nil {
		return nil
	}
	cluster := s.cluster
	s.cluster = nil
	return cluster.Stop()
}
