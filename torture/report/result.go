// Package report keeps the results of rounds and makes the tables of them.
package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// Result is what one round came to: one line of a results file.
type Result struct {
	Nemesis string    `json:"nemesis"`
	Name    string    `json:"name"`
	Engine  string    `json:"engine"`
	Seed    uint64    `json:"seed"`
	Begun   time.Time `json:"begun"`
	Seconds float64   `json:"seconds"`

	FaultName string `json:"fault_name"`
	Faults    int    `json:"faults"`
	// Idle faults came when no request to produce was under way, and are not among Faults.
	Idle int `json:"idle_faults,omitempty"`

	Ops           int `json:"ops"`
	Acked         int `json:"acked"`
	Unknown       int `json:"unknown"`
	UnknownStored int `json:"unknown_stored"`

	Lost       int      `json:"lost"`
	Duplicate  int      `json:"duplicate"`
	Ghost      int      `json:"ghost"`
	Reordered  int      `json:"reordered"`
	Gap        int      `json:"gap"`
	Other      int      `json:"other"`
	Violations []string `json:"violations,omitempty"`

	// RecoveryMS are the times from the end of each fault until every broker had stored and shown
	// something.
	RecoveryMS []int64 `json:"recovery_ms,omitempty"`
	// RateBefore and RateAfter are produces answered a second before the first fault and after the
	// last.
	RateBefore float64 `json:"rate_before"`
	RateAfter  float64 `json:"rate_after"`

	// Extra are numbers that only this nemesis has, such as rss_per_poller_bytes.
	Extra map[string]float64 `json:"extra,omitempty"`

	// Invalid is why the round proves nothing; Error is why it could not be run. Either is empty.
	Invalid string `json:"invalid,omitempty"`
	Error   string `json:"error,omitempty"`

	// Mistake is the classic mistake that was switched on, and Caught says that a violation shows it.
	Mistake  string   `json:"mistake,omitempty"`
	Caught   bool     `json:"caught,omitempty"`
	Versions Versions `json:"versions"`
}

// Versions are what the round ran on.
type Versions struct {
	Topiq    string `json:"topiq"`
	Go       string `json:"go"`
	Postgres string `json:"postgres,omitempty"`
	SQLite   string `json:"sqlite,omitempty"`
	Kernel   string `json:"kernel"`
}

// Red says that an invariant was broken.
func (r *Result) Red() bool {
	return r.Lost+r.Duplicate+r.Ghost+r.Reordered+r.Gap+r.Other > 0
}

// Failed says that the round is not one that counts as passed.
func (r *Result) Failed() bool { return r.Red() || r.Error != "" || r.Invalid != "" }

// WorstRecovery is the longest recovery in milliseconds.
func (r *Result) WorstRecovery() (worst int64) {
	for _, ms := range r.RecoveryMS {
		worst = max(worst, ms)
	}
	return worst
}

// Append adds results to a file, one line each.
func Append(path string, results ...Result) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(f)
	for i := range results {
		err = errors.Join(err, encoder.Encode(&results[i]))
	}
	return errors.Join(err, f.Close())
}

// Read reads a file of results; one that is not there has none.
func Read(path string) (results []Result, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for n := 1; lines.Scan(); n++ {
		var r Result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, n, err)
		}
		results = append(results, r)
	}
	return results, lines.Err()
}
