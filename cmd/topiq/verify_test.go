package main

import (
	"encoding/json"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/topiq/topiq/api/apitest"
)

// verify runs `topiq verify` in a process, whose broker is then the test binary too.
func verify(t *testing.T, args ...string) (outcome, report) {
	t.Helper()
	return verified(t, start(t, append([]string{"verify", "--json"}, args...)...))
}

// verified waits for the end of a process that verifies.
func verified(t *testing.T, p *process) (outcome, report) {
	t.Helper()
	stdout, err := io.ReadAll(p.stdout)
	if err != nil {
		t.Fatal(err)
	}
	o := outcome{p.wait(t), string(stdout), p.stderr.String()}
	return o, reportIn(t, o)
}

func reportIn(t *testing.T, o outcome) (r report) {
	t.Helper()
	if o.stdout != "" {
		if err := json.Unmarshal([]byte(o.stdout), &r); err != nil {
			t.Fatalf("%v in %q; stderr:\n%s", err, o.stdout, o.stderr)
		}
	}
	return r
}

func checkPassed(t *testing.T, o outcome, r report) {
	t.Helper()
	if o.code != exitOK || strings.Count(o.stderr, "\n") != 1 || !r.Passed || len(r.failed()) != 0 || len(r.Checks) < 11 {
		t.Errorf("exit code %d, stderr %q:\n%s", o.code, o.stderr, o.stdout)
	}
}

// checkNamed checks that a run failed, and says by which checks.
func checkNamed(t *testing.T, o outcome, r report, names ...string) {
	t.Helper()
	if o.code != exitFailure || r.Passed {
		t.Errorf("exit code %d, passed %t; want a failure", o.code, r.Passed)
	}
	for _, name := range names {
		i := slices.IndexFunc(r.Checks, func(v verdict) bool { return v.Name == name })
		if i < 0 || r.Checks[i].Result != resultFailed || len(r.Checks[i].Examples) == 0 || !strings.Contains(o.stderr, name) {
			t.Errorf("%q did not fail; stderr %q:\n%s", name, o.stderr, o.stdout)
		}
	}
}

// topicsOf are the topics of a broker.
func topicsOf(t *testing.T, url string) []string {
	t.Helper()
	return strings.Fields(mustTopiq(t, "", "topics", "list", "--url="+url))
}

func TestVerifyEngines(t *testing.T) {
	t.Parallel()
	for name, storeURL := range engines() {
		t.Run(name+" running", func(t *testing.T) {
			t.Parallel()
			url := broker(t, storeURL(t))
			args := []string{"verify", "--json", "--url=" + url, "--messages=400", "--max-timeout=10ms", "--seed=42"}
			// A run on a used broker finds it as it left it.
			for _, more := range []string{"--keep=false", "--keep"} {
				o := topiq(t, "", append(args, more)...)
				r := reportIn(t, o)
				checkPassed(t, o, r)
				if r.Engine != name || r.Seed != 42 || r.Child || r.Produce.Requests == 0 || r.Topics[1].Stored != 187 {
					t.Errorf("%+v", r)
				}
				if left := topicsOf(t, url); len(left) != 0 && (more != "--keep" || !strings.HasPrefix(left[0], r.prefix())) {
					t.Errorf("%s leaves %q", more, left)
				}
			}
		})
		t.Run(name+" child", func(t *testing.T) {
			t.Parallel()
			o, r := verify(t, "--store="+storeURL(t), "--topics=2", "--producers=3", "--consumers=9", "--messages=200", "--max-timeout=10ms")
			checkPassed(t, o, r)
			if r.Engine != name || !r.Child || len(r.Topics) != 2 || len(r.Topics[0].Consumed) != 9 {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestVerifyKills(t *testing.T) {
	t.Parallel()
	messages := "--messages=800"
	if apitest.RaceDetector {
		messages = "--messages=300" // a broker starts slowly then
	}
	for name, storeURL := range engines() {
		if name == "memory" {
			continue // refused, see TestVerifyUsage
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, r := verify(t, "--store="+storeURL(t), "--kill-every=300ms", messages, "--max-timeout=40ms")
			checkPassed(t, o, r)
			t.Logf("%d kills, %+v, %d duplicates", len(r.Kills), r.Produce, r.Duplicates)
			if len(r.Kills) == 0 || r.Produce.Unanswered == 0 || r.Checks[len(r.Checks)-1].Name != "kills" {
				t.Errorf("%+v", r)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		o, r := verify(t, "--store=sqlite:"+filepath.Join(t.TempDir(), "topiq.db"), "--kill-every=1m", "--messages=10")
		checkNamed(t, o, r, "kills")
		if failed := r.failed(); len(failed) != 1 {
			t.Errorf("failed: %q", failed)
		}
	})
}

// slow is a run whose producers pause for so long that they are under way whatever happens to them.
func slow() []string { return []string{"verify", "--json", "--max-timeout=10m"} }

// TestVerifyGivesUp checks the ways in which a run does not come to its end: each is a failure, and
// leaves nothing behind.
func TestVerifyGivesUp(t *testing.T) {
	t.Parallel()
	t.Run("timeout", func(t *testing.T) {
		t.Parallel()
		url := broker(t, "memory:")
		o := topiq(t, "", append(slow(), "--url="+url, "--timeout=500ms")...)
		checkGivenUp(t, o, "the run did not end within 500ms")
		if left := topicsOf(t, url); len(left) != 0 {
			t.Errorf("left behind: %q", left)
		}
	})
	t.Run("signal", func(t *testing.T) {
		t.Parallel()
		url := broker(t, "memory:")
		p := start(t, append(slow(), "--url="+url)...)
		untilThere(t, p, func() bool { return strings.Contains(p.stderr.String(), " begins ") })
		p.terminate(t)
		o, _ := verified(t, p)
		checkGivenUp(t, o, "terminated signal received")
		if left := topicsOf(t, url); len(left) != 0 {
			t.Errorf("left behind: %q", left)
		}
	})
}

func checkGivenUp(t *testing.T, o outcome, why string) {
	t.Helper()
	r := reportIn(t, o)
	if o.code != exitFailure || len(r.Checks) == 0 {
		t.Fatalf("%+v", o)
	}
	for i, v := range r.Checks {
		if i == 0 && (v.Result != resultFailed || !strings.Contains(v.Examples[0], why)) || i > 0 && v.Result != resultNotMade {
			t.Errorf("%+v", v)
		}
	}
}

// untilThere waits until something that a process does has happened.
func untilThere(t *testing.T, p *process, there func() bool) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !there() {
		select {
		case <-p.ended:
			t.Fatalf("ended before; stderr:\n%s", p.stderr.String())
		case <-look.C:
		}
	}
}

func TestVerifyUsage(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"give one of them":              {"--url=http://127.0.0.1:1", "--store=memory:"},
		"--kill-every needs --store":    {"--kill-every=3s"},
		"cannot work with memory:":      {"--kill-every=3s", "--store=memory:"},
		"--kill-every must be at least": {"--kill-every=1ms", "--store=sqlite:f"},
		"must not be negative":          {"--producers=-1"},
		"--max-timeout must not be":     {"--max-timeout=-1s"},
		"--timeout and --patience":      {"--timeout=0"},
		"does not begin with http://":   {"--url=localhost:8080"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			o := topiq(t, "", append([]string{"verify"}, args...)...)
			if o.code != exitUsage || !strings.Contains(o.stderr, want) || o.stdout != "" {
				t.Errorf("%+v; want %q", o, want)
			}
			checkOneLine(t, o)
		})
	}
	for want, args := range map[string][]string{
		"connection refused": {"--url=http://127.0.0.1:1"},
		"is not a store":     {"--store=bogus"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			p := start(t, append([]string{"verify"}, args...)...)
			o, _ := verified(t, p)
			if o.code != exitFailure || !strings.Contains(o.stderr, want) || o.stdout != "" {
				t.Errorf("%+v; want %q", o, want)
			}
			checkOneLine(t, o)
		})
	}
}
