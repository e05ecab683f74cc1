package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestQuotas is what docs/operations.md shows: a token for guests with quotas, a topic with quotas, what both refuse,
// and where that is seen.
func TestQuotas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	store := "--store=sqlite:" + file("topiq.db")
	writeFile(t, file("operator"), mustTopiq(t, "", "tokens", "create", store, "--name=operator", "--scope=admin"))
	b := serveHere(t, store, "--auth")
	ask := func(token, stdin string, args ...string) outcome {
		return topiq(t, stdin, append(args, "--url="+b.url, "--token-file="+file(token))...)
	}
	must := func(o outcome) string {
		t.Helper()
		if o.code != exitOK {
			t.Fatalf("exit code %d: %s", o.code, o.stderr)
		}
		return o.stdout
	}
	refused := func(quota string, o outcome) {
		t.Helper()
		if o.code != exitFailure || !strings.Contains(o.stderr, "rate_limited") || !strings.Contains(o.stderr, quota) {
			t.Errorf("exit code %d, %q; want %s", o.code, o.stderr, quota)
		}
	}
	writeFile(t, file("guest"), must(ask("operator", "", "tokens", "create", "--name=guest", "--scope=produce:guest.*", "--scope=consume:guest.*",
		"--quota-bytes-per-second=1MiB", "--quota-topics=1", "--quota-topic-stored-bytes=1GiB", "--quota-producers=1", "--quota-consumers=1")))

	must(ask("guest", "hello\n", "produce", "guest.a", "--name=p"))
	refused("token_topics", ask("guest", "", "topics", "create", "guest.b"))
	refused("token_producers", ask("guest", "hello\n", "produce", "guest.a", "--name=q"))
	if got := must(ask("guest", "", "consume", "guest.a", "--name=c")); got != "hello\n" {
		t.Errorf("consume: %q", got)
	}
	refused("token_consumers", ask("guest", "", "consume", "guest.a", "--name=d"))
	must(ask("operator", "", "topics", "set", "guest.a", "--quota-producers=1", "--quota-stored-bytes=0", "--quota-bytes-per-second=64KiB"))
	refused("topic_producers", ask("operator", "hello\n", "produce", "guest.a", "--name=q"))
	must(ask("operator", "", "topics", "create", "other", "--quota-consumers=7", "--max-messages=5"))

	for topic, want := range map[string]string{"guest.a": "65536 - 1 -", "other": "- - - 7"} {
		var values []string
		facts := must(ask("operator", "", "topics", "describe", topic))
		for _, fact := range regexp.MustCompile(`(?m)^quota_\S+ +(\S+)$`).FindAllStringSubmatch(facts, -1) {
			values = append(values, fact[1])
		}
		if got := strings.Join(values, " "); got != want {
			t.Errorf("the quotas of %s are %s, want %s", topic, got, want)
		}
	}
	if table := must(ask("operator", "", "tokens", "list")); !strings.Contains(table, "bytes_per_second=1048576,topics=1,topic_stored_bytes=1073741824,producers=1,consumers=1") {
		t.Errorf("the list of tokens:\n%s", table)
	}
	for line := range strings.Lines(must(ask("operator", "", "tokens", "list", "--json"))) {
		var entry tokenLine
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		if guest := entry.Name == "guest"; guest != (entry.Quota.Topics == 1) || strings.Contains(line, "quota") != guest {
			t.Errorf("listed: %s", line)
		}
	}
	for want, args := range map[string][]string{
		"nothing to set":     {"topics", "set", "other"},
		"must not be":        {"topics", "set", "other", "--quota-consumers=-1"},
		"not a number of by": {"topics", "create", "more", "--quota-stored-bytes=much"},
		"producers":          {"tokens", "create", "--name=x", "--scope=admin", "--quota-producers=-1"},
	} {
		if o := ask("operator", "", args...); o.code == exitOK || !strings.Contains(o.stderr, want) {
			t.Errorf("%s: %+v, want %q", strings.Join(args, " "), o, want)
		}
	}
	operator, err := os.ReadFile(file("operator"))
	if err != nil {
		t.Fatal(err)
	}
	figures := metricsFor(t, b.url, strings.TrimSpace(string(operator)))
	for quota, n := range map[string]string{"token_topics": "1", "token_producers": "1", "token_consumers": "1", "topic_producers": "1", "topic_consumers": "0"} {
		if want := `topiq_quota_refusals_total{quota="` + quota + `"} ` + n + "\n"; !strings.Contains(figures, want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
}

// metricsFor reads the metrics of a broker that asks for tokens.
func metricsFor(t *testing.T, url, token string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %v: %s", answer.StatusCode, err, text)
	}
	return string(text)
}
