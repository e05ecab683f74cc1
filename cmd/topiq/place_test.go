package main

import (
	"testing"
	"time"

	"github.com/topiq/topiq/client"
)

func TestPlaces(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	for text, want := range map[string]client.Start{
		"beginning":                      client.Beginning,
		"end":                            client.End,
		"0":                              client.At(0),
		"9007199254740991":               client.At(9007199254740991),
		"2026-03-01T09:30:00Z":           client.AtTime(now),
		"2026-03-01T10:30:00.5+01:00":    client.AtTime(now.Add(500 * time.Millisecond)),
		"-1h":                            client.AtTime(now.Add(-time.Hour)),
		"-1h30m":                         client.AtTime(now.Add(-90 * time.Minute)),
		"":                               "",
		"-1":                             "",
		"1h":                             "",
		"-0s":                            "",
		"1.5":                            "",
		"End":                            "",
		"2026-03-01":                     "",
		"99999999999999999999":           "",
		"2026-03-01T09:30:00Z or so":     "",
		"-999999999999999999999999999 h": "",
	} {
		if got, err := parsePlace(text, now); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
}
