package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// benchReport is what a run has measured.
type benchReport struct {
	Mode         string  `json:"mode"`
	Version      string  `json:"version"`
	Engine       string  `json:"engine"`
	Durability   string  `json:"durability"`
	Brokers      int     `json:"brokers"`
	Connections  int     `json:"connections"`
	Batch        int     `json:"batch"`
	PayloadBytes int     `json:"payload_bytes"`
	Topics       int     `json:"topics"`
	Anonymous    bool    `json:"anonymous"`
	Rate         float64 `json:"rate,omitempty"`
	Seconds      float64 `json:"seconds_per_round"`
	Rounds       int     `json:"rounds"`

	// Unsafe are the settings by which the broker may lose messages, as it says.
	Unsafe []string      `json:"unsafe,omitempty"`
	Topiq  benchResult   `json:"topiq"`
	Limits []benchResult `json:"limits,omitempty"`
}

// benchResult is one contender: the medians of its rounds, and for a limit how topiq compares.
type benchResult struct {
	Name string `json:"name"`
	figures
	// Ratio is the rate of topiq divided by this one's, round by round; of the p99 instead where RatioOf
	// says p99.
	Ratio     *spread   `json:"ratio,omitempty"`
	RatioOf   string    `json:"ratio_of,omitempty"`
	AllRounds []figures `json:"all_rounds,omitempty"`
}

func (b *bench) report(all [][]figures) *benchReport {
	c := b.command
	r := &benchReport{
		Mode: c.mode(), Version: b.info.Version, Engine: b.info.Engine, Durability: b.info.Durability, Unsafe: b.info.Unsafe,
		Brokers: len(b.setup.urls), Connections: c.Connections, Batch: c.Batch, PayloadBytes: c.PayloadBytes, Topics: c.Topics,
		Anonymous: c.Anonymous, Rate: c.Rate, Seconds: c.Duration.Seconds(), Rounds: c.rounds(),
	}
	for i, rounds := range all {
		result := benchResult{Name: b.contenders[i].name, figures: medianFigures(rounds)}
		if len(rounds) > 1 {
			result.AllRounds = rounds
		}
		if i == 0 {
			r.Topiq = result
			continue
		}
		result.Ratio, result.RatioOf = ratios(all[0], rounds, b.contenders[i].byLatency)
		r.Limits = append(r.Limits, result)
	}
	return r
}

// ratios compares what was measured in the same rounds. There is none where a limit did nothing.
func ratios(topiq, limit []figures, byLatency bool) (ratio *spread, of string) {
	of = "rate"
	pick := func(f *figures) float64 { return f.MessageRate }
	if byLatency {
		of, pick = "p99", func(f *figures) float64 { return f.Latency.P99 }
	}
	values := make([]float64, len(topiq))
	for i := range topiq {
		if pick(&limit[i]) == 0 {
			return nil, of
		}
		values[i] = pick(&topiq[i]) / pick(&limit[i])
	}
	s := spreadOf(values)
	return &s, of
}

// write writes the report for people.
func (r *benchReport) write(w io.Writer) error {
	if _, err := fmt.Fprintln(w, r.title()); err != nil {
		return err
	}
	rows := [][]string{{"", "messages/s", "MB/s", "p50 ms", "p90", "p99", "p99.9", "max", "errors", "topiq ÷ it"}}
	rows = append(rows, r.Topiq.row())
	for i := range r.Limits {
		rows = append(rows, r.Limits[i].row())
	}
	if err := writeTable(w, rows); err != nil {
		return err
	}
	notes := r.notes()
	if len(notes) == 0 {
		return nil
	}
	_, err := fmt.Fprintln(w, strings.Join(notes, "\n"))
	return err
}

func (r *benchReport) title() string {
	parts := []string{
		r.Mode, fmt.Sprintf("%s (durable: %s)", r.Engine, r.Durability), plural(int64(r.Brokers), "broker"),
		plural(int64(r.Connections), "connection"), plural(int64(r.Topics), "topic"), "batches of " + strconv.Itoa(r.Batch),
		fmt.Sprintf("payloads of %d bytes", r.PayloadBytes),
	}
	if r.Anonymous {
		parts = append(parts, "producers without names")
	}
	if r.Rate > 0 {
		parts = append(parts, grouped(r.Rate)+" messages/s asked for")
	}
	return strings.Join(parts, ", ") + "; " + plural(int64(r.Rounds), "round") + fmt.Sprintf(" of %g s", r.Seconds)
}

func (r *benchReport) notes() (notes []string) {
	for _, setting := range r.Unsafe {
		notes = append(notes, "unsafe: "+setting)
	}
	if r.Rate > 0 && r.Topiq.MessageRate < 0.95*r.Rate {
		notes = append(notes, "the rate that was asked for was not reached: the times show how far the broker fell behind")
	}
	for code, n := range sortedErrors(r.Topiq.Errors) {
		notes = append(notes, fmt.Sprintf("%d × %s", n, code))
	}
	return notes
}

func sortedErrors(counts map[string]int64) func(func(string, int64) bool) {
	return func(yield func(string, int64) bool) {
		for _, code := range slices.Sorted(maps.Keys(counts)) {
			if !yield(code, counts[code]) {
				return
			}
		}
	}
}

func (r *benchResult) row() []string {
	var failed int64
	for _, n := range r.Errors {
		failed += n
	}
	ms := func(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }
	l := &r.Latency
	ratio := ""
	if r.Ratio != nil {
		ratio = fmt.Sprintf("%.2f (%.2f–%.2f)", r.Ratio.Median, r.Ratio.Min, r.Ratio.Max)
		if r.RatioOf == "p99" {
			ratio += " of p99"
		}
	}
	return []string{
		r.Name, grouped(r.MessageRate), strconv.FormatFloat(r.ByteRate/1e6, 'f', 1, 64),
		ms(l.P50), ms(l.P90), ms(l.P99), ms(l.P999), ms(l.Max), strconv.FormatInt(failed, 10), ratio,
	}
}

// grouped is a number with its thousands apart.
func grouped(v float64) string {
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
