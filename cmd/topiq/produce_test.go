package main

import (
	"strings"
	"testing"

	"github.com/topiq/topiq/client"
)

// TestProduceAgain checks that a producer with a name appends only what is missing.
func TestProduceAgain(t *testing.T) {
	t.Parallel()
	url := "--url=" + serveHere(t, "--store=memory:").url
	produce := func(input string) outcome { return topiq(t, input, "produce", "t", "--name=p", url) }
	if o := produce("a\nb\nc"); o.code != exitOK || o.stderr != "stored 3 messages in t at offsets 0 to 2\n" {
		t.Fatal(o)
	}
	mustTopiq(t, "of another\n", "produce", "t", url)
	if o := produce("a\nb\nc\nd\ne\n"); o.code != exitOK ||
		o.stderr != "stored 2 messages in t at offsets 4 to 5, after 3 that were there\n" {
		t.Fatal(o)
	}
	if o := produce("a\nb\nc\nd\ne\n"); o.code != exitOK || o.stderr != "stored 0 messages in t, after 5 that were there\n" {
		t.Fatal(o)
	}
	for input, want := range map[string]string{
		"a\nb\nc\nd\nE\nf\n": "line 5 is not what was stored of it under this name",
		"a\nb\n":             "5 messages are stored under this name, but there are only 2 lines",
	} {
		if o := produce(input); o.code != exitFailure || !strings.Contains(o.stderr, want) || strings.Count(o.stderr, "\n") != 1 {
			t.Errorf("another input under the same name: %+v; want %q", o, want)
		}
	}
	if got := mustTopiq(t, "", "consume", "t", url); got != "a\nb\nc\nof another\nd\ne\n" {
		t.Errorf("consumed %q", got)
	}
}

// TestProduceResume checks that a name goes on behind what is stored, and tells of a difference.
func TestProduceResume(t *testing.T) {
	t.Parallel()
	url := "--url=" + serveHere(t, "--store=memory:").url
	for _, step := range []struct {
		input  string
		code   int
		stderr string
	}{
		{"a\nb\n", exitOK, "stored 2 messages in t at offsets 0 to 1\n"},
		{"a\nb\n\n", exitOK, "stored 1 messages in t at offsets 2 to 2, after 2 that were there\n"},
		{
			"x\ny\nz\nd\n", exitOK, "line 3 is not what was stored of it under this name; going on behind it\n" +
				"stored 1 messages in t at offsets 3 to 3, after 3 that were there\n",
		},
		{"a\n", exitFailure, "topiq: 4 messages are stored under this name, but there are only 1 lines: was it used for another input?\n"},
	} {
		o := topiq(t, step.input, "produce", "t", "--name=p", "--resume", url)
		if o.code != step.code || o.stderr != step.stderr {
			t.Errorf("%q: %+v; want %q", step.input, o, step.stderr)
		}
	}
	if got := mustTopiq(t, "", "consume", "t", url); got != "a\nb\n\nd\n" {
		t.Errorf("consumed %q", got)
	}
}

// TestRefusedInputFencesNobody checks that a producer at work does not notice that somebody tried
// its name with another input.
func TestRefusedInputFencesNobody(t *testing.T) {
	t.Parallel()
	b := serveHere(t, "--store=memory:")
	url := "--url=" + b.url
	ctx := t.Context()
	c, err := client.New(b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	p, err := c.Producer(ctx, "t", client.Name("p"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Send(ctx, client.Text("a")); err != nil {
		t.Fatal(err)
	}
	if o := topiq(t, "b\n", "produce", "t", "--name=p", url); o.code != exitFailure || !strings.Contains(o.stderr, "--resume") {
		t.Errorf("%+v", o)
	}
	if _, err := p.Send(ctx, client.Text("c")); err != nil {
		t.Error(err)
	}
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
}

// TestProduceStopsAtALineTooLong checks that the lines before it are stored, and that the error
// tells its number.
func TestProduceStopsAtALineTooLong(t *testing.T) {
	t.Parallel()
	url := "--url=" + serveHere(t, "--store=memory:", "--message-bytes=8", "--request-bytes=4KiB").url
	o := topiq(t, "12345678\nb\n123456789\nc\n", "produce", "t", url)
	if o.code != exitFailure || !strings.Contains(o.stderr, "line 3 is longer than 8 bytes") {
		t.Errorf("%+v", o)
	}
	url2 := "--url=" + serveHere(t, "--store=memory:", "--message-bytes=4KiB", "--request-bytes=4KiB").url
	o = topiq(t, "a\n"+strings.Repeat("\x00", 400)+"\nc\n", "produce", "t", "--name=p", url2)
	if o.code != exitFailure || !strings.Contains(o.stderr, "line 2 is too long for a request") {
		t.Errorf("%+v", o)
	}
	for url, want := range map[string]string{url: "12345678\nb\n", url2: "a\n"} {
		if got := mustTopiq(t, "", "consume", "t", url); got != want {
			t.Errorf("stored %q, want %q", got, want)
		}
	}
}
