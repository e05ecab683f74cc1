package client

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/topiq/topiq/gen/wire"
)

// answering is a broker that registers as the fake one, and answers each produce of three messages as told.
func answering(t *testing.T, answer wire.ProduceResult) *Producer {
	t.Helper()
	f := newFake("orders")
	c, _ := connect(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == producePath {
			writeJSON(w, http.StatusOK, answer)
			return
		}
		f.ServeHTTP(w, r)
	}), nil)
	p := openProducer(t, c, "orders", Name("shop"))
	t.Cleanup(func() { _ = p.Close(t.Context()) })
	return p
}

// The offsets of an answer are spread over the messages, also where they are not one run (P4).
func TestOffsetsOfAnAnswer(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		answer wire.ProduceResult
		want   string
	}{
		"one run":       {wire.ProduceResult{Offset: new(int64(7))}, "[7 8 9]"},
		"trimmed":       {wire.ProduceResult{Duplicate: true}, "[-1 -1 -1]"},
		"partly stored": {wire.ProduceResult{Ranges: []wire.ProduceRange{{Offset: new(int64(2)), Count: 1}, {Seq: 1, Offset: new(int64(8)), Count: 2}}}, "[2 8 9]"},
		"partly trimmed": {
			wire.ProduceResult{Ranges: []wire.ProduceRange{{Count: 2}, {Seq: 2, Offset: new(int64(8)), Count: 1}}},
			"[-1 -1 8]",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row.answer.Status, row.answer.Count, row.answer.Incarnation = "success", 3, "one"
			results, err := answering(t, row.answer).SendBatch(t.Context(), numbered("m", 3))
			if err != nil {
				t.Fatal(err)
			}
			var got []int64
			for i, r := range results {
				got = append(got, r.Offset)
				if r.Seq != int64(i) || r.Duplicate != row.answer.Duplicate {
					t.Errorf("message %d: %+v", i, r)
				}
			}
			if fmt.Sprint(got) != row.want {
				t.Errorf("%v, want %s", got, row.want)
			}
		})
	}
}

// An answer that cannot be one to the request settles nothing: the producer stops, and tells that it does not
// know.
func TestImpossibleProduceAnswers(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]wire.ProduceResult{
		"no success":      {Count: 3, Incarnation: "one"},
		"other count":     {Status: "success", Count: 2, Incarnation: "one"},
		"incarnation":     {Status: "success", Count: 3, Incarnation: "two"},
		"ranges too few":  {Status: "success", Count: 3, Incarnation: "one", Ranges: []wire.ProduceRange{{Count: 2}}},
		"ranges too far":  {Status: "success", Count: 3, Incarnation: "one", Ranges: []wire.ProduceRange{{Count: 4}}},
		"ranges with gap": {Status: "success", Count: 3, Incarnation: "one", Ranges: []wire.ProduceRange{{Count: 1}, {Seq: 2, Count: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := answering(t, answer)
			if results, err := p.SendBatch(t.Context(), numbered("m", 3)); !errors.Is(err, ErrOutcomeUnknown) {
				t.Errorf("%+v, %v", results, err)
			}
			if _, err := p.Send(t.Context(), Text("x")); err == nil || errors.Is(err, ErrOutcomeUnknown) {
				t.Errorf("the next one was not sent: %v", err)
			}
		})
	}
}
