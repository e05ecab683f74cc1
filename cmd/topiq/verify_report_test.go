package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// reportOf is the report of a history, with everything else made up.
func reportOf(h *history) report {
	r := report{
		Run: "1badcafe", Seed: h.seed, URL: "http://127.0.0.1:8080", Child: true, Version: "dev",
		Engine: "sqlite", Durability: "fsync",
	}
	h.traffic = trafficCount{Requests: 40, Unanswered: 2, NoBroker: 3, Refused: 1}
	r.add(h, 12_345*time.Millisecond)
	return r
}

func tableOf(t *testing.T, r report) string {
	t.Helper()
	var b strings.Builder
	if err := r.writeTable(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestVerifyTable(t *testing.T) {
	t.Parallel()
	passed := reportOf(flawless())
	if !passed.Passed || passed.failure() != nil {
		t.Errorf("did not pass: %v", passed.failure())
	}
	golden(t, "verify-passed.txt", tableOf(t, passed))

	h := flawless()
	h.plan.consumers = h.plan.consumers[:2] // C3 has gone
	h.everywhere(func(seen []sighting) []sighting { return closeUp(seen[10:]) })
	h.wantKills, h.kills = false, nil
	failed := reportOf(h)
	failed.Child, failed.Unsafe = false, []string{"fsync is off"}
	if failed.Passed || failed.failure() == nil {
		t.Error("passed")
	}
	golden(t, "verify-failed.txt", tableOf(t, failed))
}

// TestVerifyTableOfMany checks that a table stays narrow, however many consumers and producers there are.
func TestVerifyTableOfMany(t *testing.T) {
	t.Parallel()
	h := flawlessOf(sizes{producers: 50, consumers: 50, topics: 2, messages: 10})
	h.of("C7").seen = h.of("C7").seen[:3]
	h.failure = "the run did not end within 1m0s"
	golden(t, "verify-many.txt", tableOf(t, reportOf(h)))
}

func TestVerifyJSON(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	want := reportOf(flawless())
	if err := want.writeJSON(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "verify-passed.json", b.String())
	var got report
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	if tableOf(t, got) != tableOf(t, want) {
		t.Errorf("the JSON does not hold what the table tells: %s", tableOf(t, got))
	}
}

func TestVerifyHelp(t *testing.T) {
	t.Parallel()
	golden(t, "verify-help.txt", mustTopiq(t, "", "verify", "--help"))
}
