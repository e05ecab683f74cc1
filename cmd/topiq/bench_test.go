package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/topiq/topiq/db/postgres/pgtest"
)

// benched runs `topiq bench` in a process, whose children are then the test binary too. On a machine that is busy
// enough nothing is done in the time that is measured: then it is measured for longer.
func benched(t *testing.T, args ...string) benchReport {
	t.Helper()
	for duration := 200 * time.Millisecond; ; duration *= 4 {
		r := benchedFor(t, duration, args...)
		idle := func(result benchResult) bool { return result.Ratio == nil || result.Messages == 0 }
		if r.Topiq.Messages == 0 || slices.ContainsFunc(r.Limits, idle) {
			if duration > time.Minute {
				t.Fatalf("topiq bench %s: nothing is done within %s", strings.Join(args, " "), duration)
			}
			continue
		}
		if l := r.Topiq.Latency; r.Topiq.MessageRate <= 0 || l.Max <= 0 || l.Max < l.P50 {
			t.Errorf("topiq bench %s: %+v", strings.Join(args, " "), r.Topiq)
		}
		if len(r.Topiq.Errors) > 0 {
			t.Errorf("topiq bench %s: errors %v", strings.Join(args, " "), r.Topiq.Errors)
		}
		return r
	}
}

func benchedFor(t *testing.T, duration time.Duration, args ...string) benchReport {
	t.Helper()
	short := []string{"bench", "--json", "--duration=" + duration.String(), "--warm-up=10ms", "--preload=3000"}
	p := start(t, append(short, args...)...)
	stdout, err := io.ReadAll(p.stdout)
	if err != nil {
		t.Fatal(err)
	}
	if code := p.wait(t); code != exitOK {
		t.Fatalf("topiq bench %s: exit code %d: %s", strings.Join(args, " "), code, p.stderr.String())
	}
	var r benchReport
	if err := json.Unmarshal(stdout, &r); err != nil {
		t.Fatalf("%v in %q", err, stdout)
	}
	return r
}

// checkLimits checks that a run was compared with these.
func checkLimits(t *testing.T, r benchReport, names ...string) {
	t.Helper()
	var got []string
	for i := range r.Limits {
		got = append(got, r.Limits[i].Name)
	}
	if !slices.Equal(got, names) {
		t.Errorf("%s was compared with %q, want %q", r.Mode, got, names)
	}
}

func TestBenchMeasuresEachModeBesideTheEmptyHandler(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--produce", "--connections=4"},
		{"--produce", "--connections=2", "--topics=5", "--batch=10", "--anonymous"},
		{"--consume", "--connections=2"},
		{"--consume", "--way=offset", "--batch=100", "--connections=2"},
		{"--consume", "--way=history", "--batch=100", "--connections=2", "--topics=2"},
		{"--end-to-end", "--rate=500", "--connections=2", "--topics=2"},
	} {
		r := benched(t, append(args, "--store=memory:", "--limit", "--rounds=2")...)
		checkLimits(t, r, "empty handler")
		if r.Engine != "memory" || r.Rounds != 2 || len(r.Topiq.AllRounds) != 2 {
			t.Errorf("%q: %+v", args, r)
		}
	}
}

func TestBenchMeasuresEndToEnd(t *testing.T) {
	t.Parallel()
	for mode, more := range map[string][]string{"end-to-end": nil, "end-to-end stream": {"--receive=stream"}} {
		r := benched(t, append(more, "--end-to-end", "--store=memory:", "--rate=500", "--connections=2", "--topics=2", "--batch=2", "--rounds=2")...)
		if len(r.Limits) != 0 || r.Mode != mode {
			t.Errorf("%+v", r)
		}
	}
}

func TestBenchComparesWithPostgres(t *testing.T) {
	t.Parallel()
	store := "--store=" + pgtest.URL(t)
	checkLimits(t, benched(t, store, "--limit", "--rounds=1", "--batch=10", "--connections=2", "--brokers=2"), "COPY", "empty handler")
	checkLimits(t, benched(t, store, "--limit", "--rounds=1", "--consume", "--way=history", "--batch=10", "--connections=2"), "SELECT", "empty handler")
	checkLimits(t, benched(t, store, "--limit", "--rounds=1", "--connections=2"), "empty handler", "one commit")
	checkLimits(t, benched(t, store, "--limit", "--rounds=1", "--consume", "--connections=2"), "empty handler", "one commit")
	r := benched(t, store, "--limit", "--rounds=1", "--end-to-end", "--rate=100", "--connections=2")
	checkLimits(t, r, "bare commit", "one commit")
	if r.Limits[0].RatioOf != "p99" {
		t.Errorf("the ratio is that of %s", r.Limits[0].RatioOf)
	}
}

func TestBenchWritesProfiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	benched(t, "--store=memory:", "--limit", "--rounds=1", "--connections=2", "--profiles="+dir)
	for _, name := range []string{"serve-1.prof", "empty-2.prof"} {
		profile, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.HasPrefix(profile, []byte{0x1f, 0x8b}) { // gzip
			t.Errorf("%s has %d bytes, %v", name, len(profile), err)
		}
	}
	p := start(t, "bench", "--store=memory:", "--duration=100ms", "--profiles="+filepath.Join(dir, "missing"))
	if code := p.wait(t); code == exitOK || !strings.Contains(p.stderr.String(), "--cpu-profile") {
		t.Errorf("where there is no directory: exit code %d, %s", code, p.stderr.String())
	}
}

func TestBenchComparesWithSQLite(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "topiq.db")
	checkLimits(t, benched(t, "--store=sqlite:"+file, "--limit", "--rounds=1", "--connections=2"), "empty handler", "one commit")
	r := benched(t, "--store=sqlite:"+file, "--limit", "--rounds=1", "--end-to-end", "--rate=100", "--connections=2")
	checkLimits(t, r, "bare commit", "one commit")
	for i := range r.Limits {
		if r.Limits[i].RatioOf != "p99" {
			t.Errorf("the ratio to %s is that of the %s", r.Limits[i].Name, r.Limits[i].RatioOf)
		}
	}
	if left, err := filepath.Glob(file + "*.bench*"); err != nil || len(left) > 0 {
		t.Errorf("the run has left %q, %v", left, err)
	}
}

// TestBenchUsesARunningBroker runs in this process, and cleans up what it has made.
func TestBenchUsesARunningBroker(t *testing.T) {
	t.Parallel()
	broker := serveHere(t, "--store=memory:")
	args := []string{"bench", "--url=" + broker.url, "--duration=100ms", "--warm-up=0s", "--connections=2", "--prefix=mine"}
	out := mustTopiq(t, "", append(args, "--keep")...)
	for _, want := range []string{"produce, memory (durable: memory), 1 broker, 2 connections, 1 topic", "messages/s", "topiq "} {
		if !strings.Contains(out, want) {
			t.Errorf("the report lacks %q:\n%s", want, out)
		}
	}
	if got := mustTopiq(t, "", "topics", "list", "--url="+broker.url); got != "mine-0\n" {
		t.Errorf("--keep left the topics %q", got)
	}
	// The producers go on where the first run has ended; another seq would be refused.
	mustTopiq(t, "", args...)
	if got := mustTopiq(t, "", "topics", "list", "--url="+broker.url); got != "" {
		t.Errorf("the topics %q are left", got)
	}
}

func TestBenchHelp(t *testing.T) {
	t.Parallel()
	golden(t, "bench-help.txt", mustTopiq(t, "", "bench", "--help"))
}

func TestBenchRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"--connections":          {"--connections=0"},
		"--duration":             {"--duration=0s"},
		"give one of them":       {"--url=http://127.0.0.1:1", "--store=memory:"},
		"--limit":                {"--limit"},
		"--way is for --consume": {"--way=offset"},
		"a plain consume":        {"--consume", "--batch=2"},
		"--receive is for":       {"--receive=stream"},
		"the time of sending":    {"--end-to-end", "--payload-bytes=3"},
		"only PostgreSQL":        {"--store=memory:", "--brokers=2"},
	} {
		o := topiq(t, "", append([]string{"bench"}, args...)...)
		if o.code != exitUsage || !strings.Contains(o.stderr, want) {
			t.Errorf("topiq bench %q: exit code %d, %q, want %q", args, o.code, o.stderr, want)
		}
	}
	if o := topiq(t, "", "bench", "--url=http://127.0.0.1:1"); o.code != exitFailure || !strings.Contains(o.stderr, "refused") {
		t.Errorf("without a broker: exit code %d, %q", o.code, o.stderr)
	}
}

// TestBenchChargesAStall: a broker that stalls is charged with all that it holds up, and a timer that is late with nothing.
func TestBenchChargesAStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		p := pacer{next: began, interval: 10 * time.Millisecond}
		var counted []time.Duration
		for i := range 5 {
			sent, err := p.turn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if i == 1 {
				if err := pause(t.Context(), 25*time.Millisecond); err != nil { // the stall, in time that is not real
					t.Fatal(err)
				}
			}
			counted = append(counted, sent.Sub(began))
		}
		// The second stalls from 10 to 35: the third and the fourth were due at 20 and 30.
		if want := []time.Duration{0, 10e6, 20e6, 30e6, 40e6}; !slices.Equal(counted, want) {
			t.Errorf("requests count from %v, want %v", counted, want)
		}
		p = pacer{}
		if err := pause(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
		if sent, err := p.turn(t.Context()); err != nil || !sent.Equal(time.Now()) {
			t.Errorf("without a rate a request counts from when it is sent, not from %v before", time.Since(sent))
		}
	})
}

func TestBenchRecordsOnlyWhatIsMeasured(t *testing.T) {
	t.Parallel()
	start := time.Now()
	r := newRecorder(start, start.Add(2*time.Second), &liveFigures{})
	m := &meter{recorder: r}
	m.add(start.Add(-1), time.Second, work{messages: 100}) // warming up
	for i := range 1000 {
		m.add(start.Add(time.Millisecond), time.Duration(i+1)*time.Millisecond, work{messages: 2, bytes: 200})
	}
	m.add(start.Add(time.Millisecond), time.Hour, work{messages: 7, uncounted: true})
	m.add(start.Add(2*time.Second), time.Second, work{messages: 100}) // too late
	m.fail(start.Add(time.Second), "overloaded")
	m.fail(start.Add(3*time.Second), "overloaded")
	m.flush()
	f := r.figures()
	if f.Messages != 2000 || f.Requests != 1000 || f.MessageRate != 1000 || f.ByteRate != 100_000 || f.Errors["overloaded"] != 1 {
		t.Errorf("%+v", f)
	}
	near := func(name string, got, want float64) {
		if got < want*0.999 || got > want*1.001+1 {
			t.Errorf("%s is %g ms, want %g", name, got, want)
		}
	}
	near("p50", f.Latency.P50, 500)
	near("p90", f.Latency.P90, 900)
	near("p99", f.Latency.P99, 990)
	near("max", f.Latency.Max, 1000)
}

func TestBenchRatios(t *testing.T) {
	t.Parallel()
	rate := func(rates ...float64) (f []figures) {
		for _, r := range rates {
			f = append(f, figures{MessageRate: r, Latency: latencies{P99: 2 * r}})
		}
		return f
	}
	ratio, of := ratios(rate(10, 30, 20), rate(20, 40, 20), false)
	if want := (spread{0.75, 0.5, 1}); ratio == nil || *ratio != want || of != "rate" {
		t.Errorf("ratio %v of %s, want %v", ratio, of, want)
	}
	if ratio, of = ratios(rate(10), rate(20), true); ratio == nil || ratio.Median != 0.5 || of != "p99" {
		t.Errorf("ratio %v of %s", ratio, of)
	}
	if ratio, _ = ratios(rate(10), rate(0), false); ratio != nil {
		t.Errorf("ratio %v to nothing", ratio)
	}
	if m := medianFigures(rate(10, 40, 20, 30)); m.MessageRate != 25 || m.Latency.P99 != 50 {
		t.Errorf("medians %+v", m)
	}
}

func TestBenchChecksAnswers(t *testing.T) {
	t.Parallel()
	const good = `{"count":2,"duplicate":false,"durable":"fsync","incarnation":"x","offset":41,"status":"success"}`
	if offset, err := produced([]byte(good), 2, false); err != nil || offset != 41 {
		t.Errorf("offset %d, %v", offset, err)
	}
	for _, bad := range []string{
		strings.Replace(good, `"count":2`, `"count":1`, 1),
		strings.Replace(good, `false`, `true`, 1),
		strings.Replace(good, `"offset":41,`, ``, 1),
	} {
		if _, err := produced([]byte(bad), 2, false); err == nil {
			t.Errorf("%s is taken for the answer to two new messages", bad)
		}
	}
	if _, err := produced([]byte(strings.Replace(good, "false", "true", 1)), 2, true); err != nil {
		t.Errorf("after a lost answer a duplicate is refused: %v", err)
	}
	err := succeeded(503, []byte(`{"status":"failure","code":"overloaded","message":"later"}`))
	if code, passes := passing(err); code != "overloaded" || !passes {
		t.Errorf("%v is counted under %q, passing: %t", err, code, passes)
	}
	err = succeeded(409, []byte(`{"status":"failure","code":"producer_fenced","message":"no"}`))
	if _, passes := passing(err); err == nil || passes {
		t.Errorf("%v passes", err)
	}
	if err := succeeded(200, []byte(`{"status":"failure"}`)); !errors.Is(err, errNoSuchAnswer) {
		t.Errorf("a 200 that is no success: %v", err)
	}
	page := `{"messages":[{"created_at":"x","message":"a","offset":7},{"created_at":"x","message":"a","offset":8}],"next_offset":9}`
	if n, err := messagesIn([]byte(page), 7, 9); err != nil || n != 2 {
		t.Errorf("%d messages, %v", n, err)
	}
	if _, err := messagesIn([]byte(page), 7, 10); err == nil {
		t.Error("a hole is not seen")
	}
}

// answering is a server that gives each request the same bytes.
func answering(t *testing.T, answer string) string {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, answer)
			_ = c.Close()
		}
	}()
	return "http://" + listener.Addr().String()
}

func TestBenchConnReadsHTTP(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello":                                            "hello",
		"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n": "hello",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel":                                              "",
		"HTTP/1.1 200 OK\r\n\r\nhello":                                                                 "",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello":                                           "",
		"SSH-2.0-OpenSSH\r\n":                                                                          "",
		"HTTP/1.1 abc\r\n\r\n":                                                                         "",
		"":                                                                                             "",
	} {
		c, err := newBenchConn(answering(t, answer))
		if err != nil {
			t.Fatal(err)
		}
		status, body, err := c.exchange(t.Context(), []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
		if want == "" && err == nil {
			t.Errorf("%q is taken for the answer %d %q", answer, status, body)
		}
		if want != "" && (err != nil || string(body) != want || status != 200 && status != 404) {
			t.Errorf("%q: %d %q, %v", answer, status, body, err)
		}
		c.close()
	}
	for _, address := range []string{"localhost:8080", "ftp://x", "http://x/path", "http://"} {
		if _, err := newBenchConn(address); err == nil {
			t.Errorf("%q is taken for an address", address)
		}
	}
}

func TestBenchProgressLine(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"produce: warming up":                             progressLine("produce", 0, 0, 0),
		"produce: 12,346 messages/s, 50000 messages":      progressLine("produce", 50000, 6173, 0),
		"produce: 0 messages/s, 50000 messages, 3 errors": progressLine("produce", 50000, 0, 3),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
