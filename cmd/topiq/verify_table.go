package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// writeTable writes the report for people.
func (r *report) writeTable(out io.Writer) error {
	var b strings.Builder
	r.head(&b)
	r.counts(&b)
	r.requests(&b)
	r.verdicts(&b)
	_, err := io.WriteString(out, b.String())
	return err
}

func (r *report) head(b *strings.Builder) {
	whose := "found running"
	if r.Child {
		whose = "started for this run"
	}
	fmt.Fprintf(b, "run %s, seed %d\n", r.Run, r.Seed)
	fmt.Fprintf(b, "broker %s at %s, %s; engine %s, durability %s\n", r.Version, r.URL, whose, r.Engine, r.Durability)
	for _, setting := range r.Unsafe {
		fmt.Fprintf(b, "unsafe setting: %s\n", setting)
	}
}

// columns lines up rows of cells.
func columns(b *strings.Builder, rows ...[]string) {
	b.WriteByte('\n')
	out := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		_, _ = fmt.Fprintln(out, strings.Join(row, "\t")) // a Builder takes everything
	}
	_ = out.Flush()
}

// counts has a row for each topic, and one for all of them.
func (r *report) counts(b *strings.Builder) {
	readers := r.readers()
	head := []string{"TOPIC", "PRODUCERS", "MESSAGES", "ACKNOWLEDGED"}
	if len(readers) > maxColumns {
		head = append(head, "LEAST CONSUMED", "MOST CONSUMED")
	} else {
		head = append(head, readers...)
	}
	rows := [][]string{append(head, "READ AGAIN")}
	all := topicReport{Name: "all", Producers: []string{""}}
	for _, t := range r.Topics {
		rows = append(rows, t.row(readers))
		all.Messages += t.Messages
		all.Acknowledged += t.Acknowledged
		all.Stored += t.Stored
		all.addConsumed(t.Consumed)
	}
	columns(b, append(rows, all.row(readers))...)
}

func (t *topicReport) row(readers []string) []string {
	producers := strings.Join(t.Producers, " ")
	if len(t.Producers) > maxColumns {
		producers = strconv.Itoa(len(t.Producers))
	}
	row := []string{t.Name, producers, strconv.Itoa(t.Messages), strconv.Itoa(t.Acknowledged)}
	row = append(row, t.consumed(readers)...)
	return append(row, strconv.Itoa(t.Stored))
}

func (t *topicReport) addConsumed(more []readerReport) {
	for _, c := range more {
		known := false
		for i := range t.Consumed {
			if t.Consumed[i].Consumer == c.Consumer {
				t.Consumed[i].Messages += c.Messages
				known = true
			}
		}
		if !known {
			t.Consumed = append(t.Consumed, c)
		}
	}
}

// requests says what happened on the way.
func (r *report) requests(b *strings.Builder) {
	rows := [][]string{
		{"requests to produce", fmt.Sprintf("%d: %d got no answer, %d found no broker, %d were refused",
			r.Produce.Requests, r.Produce.Unanswered, r.Produce.NoBroker, r.Produce.Refused)},
		{"stored before", fmt.Sprintf("%d: so many messages were answered as duplicates of an earlier attempt", r.Duplicates)},
	}
	if len(r.Kills) > 0 {
		inFlight := make([]string, len(r.Kills))
		unanswered := 0
		for i, k := range r.Kills {
			inFlight[i] = strconv.Itoa(k.InFlight)
			unanswered += k.Unanswered
		}
		rows = append(rows, []string{"kill -9", fmt.Sprintf(
			"%d, with %s requests to produce in flight, %d got no answer; one more before all was read again",
			len(r.Kills), strings.Join(inFlight, ", "), unanswered)})
	}
	columns(b, rows...)
}

// verdicts has a row for each check, and below what was found.
func (r *report) verdicts(b *strings.Builder) {
	rows := [][]string{{"CHECK", "RESULT", "WHAT"}}
	for _, v := range r.Checks {
		said := string(v.Result)
		if v.Result != resultPassed {
			said = strings.ToUpper(said)
		}
		rows = append(rows, []string{v.Name, said, v.Claim})
	}
	columns(b, rows...)
	b.WriteByte('\n')
	for _, v := range r.Checks {
		for _, example := range v.Examples {
			fmt.Fprintf(b, "%s: %s\n", v.Name, example)
		}
		if more := v.Violations - len(v.Examples); more > 0 {
			fmt.Fprintf(b, "%s: and %d more\n", v.Name, more)
		}
	}
	passed := len(r.Checks) - len(r.failed())
	fmt.Fprintf(b, "%d of %d checks passed in %.1f s\n", passed, len(r.Checks), r.Seconds)
}
