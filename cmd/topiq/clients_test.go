package main

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/topiq/topiq/gen/wire"
)

// masked replaces what is another at each run: times, ids and incarnations, keeping the columns.
func masked(text string) string {
	for _, what := range []struct{ pattern, mask string }{
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`, "TIME"},
		{`(?m)^\d{6,} *`, "NNNN  "},
		{`_id":\d+`, `_id":NNNN`},
		{`(?m)^ID +`, "ID    "},
	} {
		text = regexp.MustCompile(what.pattern).ReplaceAllString(text, what.mask)
	}
	return text
}

// TestClients looks at the producers and consumers of a topic, and moves a consumer.
func TestClients(t *testing.T) {
	t.Parallel()
	b := serveHere(t, "--store=memory:")
	url := "--url=" + b.url
	w := dial(t, b.url)
	mustTopiq(t, "a\nb\nc\n", "produce", "t", "--name=shop", url)
	if _, code := w.producer("t", "", ""); code != "" {
		t.Fatal(code)
	}
	mustTopiq(t, "", "consume", "t", "--name=billing", "--limit=1", url)
	anonymous := w.consumer("t")
	for name, args := range map[string][]string{
		"consumers.txt":   {"consumers", "t"},
		"consumers.jsonl": {"consumers", "t", "--json"},
		"producers.txt":   {"producers", "t"},
		"producers.jsonl": {"producers", "t", "--json"},
	} {
		golden(t, name, masked(mustTopiq(t, "", append(args, url)...)))
	}
	id := "--id=" + json.Number(jsonOf(t, anonymous)).String()
	for _, test := range []struct{ args, want string }{
		{"--name=billing --to=end", "3"},
		{"--name=billing --to=beginning", "0"},
		{"--name=billing --to=2", "2"},
		{"--name=billing --to=-1h", "0"},
		{"--name=billing --to 2999-01-01T00:00:00Z", "3"},
		{id + " --to 1", "1"},
	} {
		args := append([]string{"seek", "t", url}, strings.Fields(test.args)...)
		if got := mustTopiq(t, "", args...); got != test.want+"\n" {
			t.Errorf("seek %s: %q, want %s", test.args, got, test.want)
		}
	}
	mustTopiq(t, "", "seek", "t", "--name=billing", "--to=1", url)
	if got := mustTopiq(t, "", "consume", "t", "--name=billing", url); got != "b\nc\n" {
		t.Errorf("after the seek: %q", got)
	}
	o := topiq(t, "", "seek", "t", "--name=billing", "--to=4", url)
	if o.code != exitFailure || !strings.Contains(o.stderr, "offset_out_of_range") {
		t.Errorf("beyond the end: %+v", o)
	}
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestConsumeJSON checks each member of a message, and that a place may be a time.
func TestConsumeJSON(t *testing.T) {
	t.Parallel()
	b := serveHere(t, "--store=memory:")
	url := "--url=" + b.url
	mustTopiq(t, "text \"<&>\" \u2028\n\xff\xfe\n\n", "produce", "t", "--name=shop", url)
	p, _ := dial(t, b.url).producer("t", "", "")
	text := "with headers"
	if _, code := dial(t, b.url).send(wire.ProduceRequest{
		Topic: "t", ProducerID: p.ProducerID, Message: &text, Headers: map[string]string{"b": "2", "a": "1"},
	}); code != "" {
		t.Fatal(code)
	}
	got := mustTopiq(t, "", "consume", "t", "--json", "--from=-1h", url)
	golden(t, "consume.jsonl", masked(got))
	for line := range strings.Lines(got) {
		var m wire.LogMessage
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&m); err != nil || m.CreatedAt.IsZero() {
			t.Errorf("%s is not the message of the HTTP API: %v", line, err)
		}
	}
	if named := mustTopiq(t, "", "consume", "t", "--json", "--name=c", "--from", "-1h", url); named != got {
		t.Errorf("with a name:\n%s\nwithout:\n%s", named, got)
	}
	for _, place := range []string{"2999-01-01T00:00:00Z", "4"} {
		if got := mustTopiq(t, "", "consume", "t", "--from", place, url); got != "" {
			t.Errorf("from %s: %q", place, got)
		}
	}
}

// TestConsumeLeavesNothingBehind kills a reader without a name: the broker knows of no consumer.
func TestConsumeLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	b := serveHere(t, "--store=memory:")
	url := "--url=" + b.url
	mustTopiq(t, "a\nb\n", "produce", "t", url)
	p := start(t, "consume", "t", "--follow", url)
	if line, err := p.stdout.ReadString('\n'); err != nil || line != "a\n" {
		t.Fatalf("%q, %v; stderr:\n%s", line, err, p.stderr.String())
	}
	p.kill()
	mustTopiq(t, "", "consume", "t", "--limit=1", url)
	if described := mustTopiq(t, "", "topics", "describe", "t", url); !regexp.MustCompile(`(?m)^consumers +0$`).MatchString(described) {
		t.Errorf("somebody is registered:\n%s", described)
	}
}

// TestReaderOutlivesItsBroker restarts the broker under a reader without a name: it goes on where it
// was.
func TestReaderOutlivesItsBroker(t *testing.T) {
	t.Parallel()
	store := "sqlite:" + t.TempDir() + "/topiq.db"
	b := serve(t, store)
	mustTopiq(t, "a\n", "produce", "t", "--url="+b.url)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p := start(t, "consume", "t", "--follow", "--url="+b.url)
	expect := func(want string) {
		t.Helper()
		stop := context.AfterFunc(ctx, p.kill)
		defer stop()
		if line, err := p.stdout.ReadString('\n'); err != nil || line != want {
			t.Fatalf("%q, %v; want %q; stderr:\n%s", line, err, want, p.stderr.String())
		}
	}
	expect("a\n")
	b.kill()
	b = b.again(t, store)
	mustTopiq(t, "b\n", "produce", "t", "--url="+b.url)
	expect("b\n")
}
