package main

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

// kept are the facts of what is kept of a topic, without the spaces between.
func retentionOf(t *testing.T, topic, url string) string {
	t.Helper()
	facts := mustTopiq(t, "", "topics", "show", topic, url)
	found := regexp.MustCompile(`(?m)^(max_age|max_bytes|max_messages|keep_for) +(\S+)$`).FindAllStringSubmatch(facts, -1)
	var values []string
	for _, fact := range found {
		values = append(values, fact[2])
	}
	return strings.Join(values, " ")
}

// TestTopicsSet sets what is kept of a topic, and takes it back.
func TestTopicsSet(t *testing.T) {
	t.Parallel()
	url := "--url=" + serveHere(t, "--store=memory:").url
	mustTopiq(t, "", "topics", "create", "t", url)
	mustTopiq(t, "", "topics", "create", "u", "--max-age=36h", "--keep-for=b,a", url)
	if got := retentionOf(t, "u", url); got != "36h0m0s - - a,b" {
		t.Errorf("created with limits: %s", got)
	}
	for _, test := range []struct{ args, want string }{
		{"", "- - - -"},
		{"--max-age=7d", "7d - - -"},
		{"--max-bytes=1GiB --max-messages=5", "7d 1073741824 5 -"},
		{"--keep-for=billing --keep-for=audit", "7d 1073741824 5 audit,billing"},
		{"--keep-for=mail --max-age=0", "- 1073741824 5 mail"},
		{"--max-bytes=0 --max-messages=0", "- - - mail"},
		{"--keep-for-nobody", "- - - -"},
	} {
		if test.args != "" {
			mustTopiq(t, "", append([]string{"topics", "set", "t", url}, strings.Fields(test.args)...)...)
		}
		if got := retentionOf(t, "t", url); got != test.want {
			t.Errorf("after set %s: %s, want %s", test.args, got, test.want)
		}
	}
	for want, args := range map[string]string{
		"nothing to set":     "t",
		"not a time":         "t --max-age=week",
		"number of days":     "t --max-age=-7d",
		"must not be":        "t --max-messages=-1",
		"--keep-for-nobody":  "t --keep-for=a --keep-for-nobody",
		"not a number of by": "t --max-bytes=many",
	} {
		o := topiq(t, "", append([]string{"topics", "set", url}, strings.Fields(args)...)...)
		if o.code != exitUsage || !strings.Contains(o.stderr, want) {
			t.Errorf("topics set %s: %+v, want %q", args, o, want)
		}
	}
	if o := topiq(t, "", "topics", "set", "missing", "--max-age=1h", url); o.code != exitFailure || !strings.Contains(o.stderr, "topic_not_found") {
		t.Errorf("a missing topic: %+v", o)
	}
}

// TestRetentionByTheClock: a broker lets go of messages by itself, and tells who comes too late.
func TestRetentionByTheClock(t *testing.T) {
	t.Parallel()
	url := "--url=" + serveHere(t, "--store=memory:", "--retention-interval=1ms").url
	mustTopiq(t, "", "topics", "create", "t", "--max-messages=2", url)
	mustTopiq(t, "1\n2\n3\n4\n5\n", "produce", "t", "--name=p", url)
	deadline := time.Now().Add(time.Minute)
	for {
		facts := mustTopiq(t, "", "topics", "describe", "t", url)
		if regexp.MustCompile(`(?m)^first_offset +3$`).MatchString(facts) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing goes:\n%s", facts)
		}
	}
	if got := mustTopiq(t, "", "consume", "t", url); got != "4\n5\n" {
		t.Errorf("what is kept: %q", got)
	}
	if o := topiq(t, "", "consume", "t", "--from=1", url); o.code != exitFailure || !strings.Contains(o.stderr, "offset_trimmed") {
		t.Errorf("from below: %+v", o)
	}
	// What was stored once is not stored again, though it is gone.
	mustTopiq(t, "1\n2\n3\n4\n5\n6\n", "produce", "t", "--name=p", url)
	if got := mustTopiq(t, "", "consume", "t", "--from=end", url); got != "" {
		t.Errorf("after the end: %q", got)
	}
	if facts := mustTopiq(t, "", "topics", "describe", "t", url); !regexp.MustCompile(`(?m)^next_offset +6$`).MatchString(facts) {
		t.Errorf("a repeat was stored:\n%s", facts)
	}
}
