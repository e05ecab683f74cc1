package api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/db/sqlite"
	"github.com/topiq/topiq/service"
)

// ownTests are the rows that are no single request: each is a test of its own.
//
//	61 TestNothingIsEchoedInHeaders   83 TestHeaderDeadline   84 TestBodyDeadline
//	85 TestAnswerDeadline             87 TestConnections…     88 TestPipeline
//	90, 91 TestBadTokens              92 TestScopes
func ownTests() []int { return []int{61, 83, 84, 85, 87, 88, 90, 91, 92} }

// TestEveryRowIsThere: the catalogue has 96 rows.
func TestEveryRowIsThere(t *testing.T) {
	t.Parallel()
	rows := map[int]bool{}
	for _, input := range badInputs(1, 2, 3) {
		first, last, several := strings.Cut(input.row, "–")
		from, _ := strconv.Atoi(strings.TrimRight(first, "abcde"))
		to := from
		if several {
			to, _ = strconv.Atoi(last)
		}
		for row := from; row <= to; row++ {
			rows[row] = true
		}
	}
	for row := 1; row <= 96; row++ {
		if own := slices.Contains(ownTests(), row); rows[row] == own {
			t.Errorf("row %d: in the table: %t, a test of its own: %t", row, rows[row], own)
		}
	}
}

// TestBadInputs sends each of them over a connection of its own, to a broker on each embedded engine.
// After each, the broker is healthy, nothing is stored or moved that should not be, and neither an
// answer nor the log tells of a fault of the broker.
func TestBadInputs(t *testing.T) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		sendBadInputs(t, memory.New(memory.Config{Random: func() uint64 { return 0 }}))
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "topiq.db"), sqlite.Config{})
		if err != nil {
			t.Fatal(err)
		}
		sendBadInputs(t, store)
	})
}

func sendBadInputs(t *testing.T, store service.Store) {
	t.Helper()
	var log logText
	config := api.Config{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	w := newWorldOn(t, store, nothing(), service.Limits{}, apitest.AnyRequest(), apitest.HTTP(config))
	consumer := w.fill("orders")
	for range 5 { // epoch 6
		w.send(http.MethodPost, "/producer/register", `{"topic":"orders","prod_name":"shop"}`)
	}
	producer := w.send(http.MethodPost, "/producer/register", `{"topic":"orders"}`).id("producer_id")
	shop := w.send(http.MethodGet, "/producer/state?topic=orders&prod_name=shop", "").id("producer_id")
	before := w.contentHash()
	for _, input := range badInputs(producer, shop, consumer) {
		a := rawCall(t, w.URL, input.text, input.hangUp)
		if !slices.Contains(input.want, a.status) {
			t.Errorf("row %s: %.300q answers %d %.300s, want %v", input.row, input.text, a.status, a.text, input.want)
		}
		if input.closes && !a.closed {
			t.Errorf("row %s: %.300q: the connection stays open", input.row, input.text)
		}
		if a.status == tooLarge && a.went {
			t.Errorf("row %s: %.300q: 100 Continue before the refusal", input.row, input.text)
		}
		for name := range a.header {
			if strings.HasPrefix(name, "Access-Control") {
				t.Errorf("row %s: there is a %s", input.row, name)
			}
		}
		after := w.contentHash()
		if (after != before) != input.stores {
			t.Errorf("row %s: %.300q: something was stored: %t, want %t", input.row, input.text, after != before, input.stores)
		}
		before = after
		if r := w.send(http.MethodGet, "/healthz", ""); r.status != http.StatusOK {
			t.Fatalf("row %s: /healthz answers %d", input.row, r.status)
		}
		if fault := log.fault(); fault != "" {
			t.Errorf("row %s: %.300q: the log says %s", input.row, input.text, fault)
		}
		if input.row == "44" {
			w.checkNUL()
		}
	}
}

// checkNUL: what is not bad after all is stored as it is.
func (w *world) checkNUL() {
	w.tb.Helper()
	topic := w.allOf("orders")
	if last := topic[len(topic)-1]; string(last.Bytes) != "a\x00b" || last.Binary {
		w.tb.Errorf("row 44: stored is %q, binary: %t", last.Bytes, last.Binary)
	}
}

// contentHash is of all that is stored: every message of every topic with all that is known of it, and
// where the clients stand.
func (w *world) contentHash() string {
	w.tb.Helper()
	ctx := w.tb.Context()
	names, more, err := w.Broker.ListTopics(ctx, "", "", nil)
	if err != nil || more != "" {
		w.tb.Fatal("list the topics: ", more, err)
	}
	hash := sha256.New()
	for _, name := range names {
		_, _ = fmt.Fprintf(hash, "topic %s\n", name)
		for _, m := range w.allOf(name) {
			_, _ = fmt.Fprintf(hash, "%d %t %q %q %d %v %v\n", m.Offset, m.Binary, m.Bytes, m.ProdName, m.Seq, m.Headers, m.CreatedAt)
		}
		consumers, _, err := w.Broker.ListConsumers(ctx, name, 0, nil)
		_, _ = fmt.Fprintf(hash, "%v %v\n", consumers, err)
		producers, _, err := w.Broker.ListProducers(ctx, name, 0, nil)
		_, _ = fmt.Fprintf(hash, "%v %v\n", producers, err)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// allOf reads a whole topic from the store, not from the broker's memory.
func (w *world) allOf(name service.TopicName) []service.Message {
	w.tb.Helper()
	heads, err := w.store.Heads(w.tb.Context(), []service.TopicName{name})
	if err != nil || len(heads) != 1 {
		w.tb.Fatalf("the head of %s: %v, %v", name, heads, err)
	}
	messages, err := w.store.Read(w.tb.Context(), heads[0].ID, heads[0].First, math.MaxInt32, math.MaxInt64)
	if err != nil || service.Offset(len(messages)) != heads[0].Next-heads[0].First {
		w.tb.Fatalf("%s: %d messages, %v; want %d", name, len(messages), err, heads[0].Next-heads[0].First)
	}
	return messages
}

// logText is a log that is looked through for faults.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// fault returns the first line, of those that came since the last call, that tells of more than a
// refused client, or that is not one line of plain text (row 60).
func (l *logText) fault() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	for line := range bytes.Lines(l.text.Bytes()) {
		plain := !bytes.ContainsFunc(bytes.TrimSuffix(line, []byte("\n")), func(r rune) bool { return r < ' ' || r == 0x7f })
		if !bytes.HasPrefix(line, []byte("time=")) || !bytes.Contains(line, []byte(" level=DEBUG ")) || !plain {
			return string(line)
		}
	}
	return ""
}
