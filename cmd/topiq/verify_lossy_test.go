package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/topiq/topiq/gen/wire"
)

// liar is somebody in the way to a broker who does not keep its promises. What it knows is guarded by
// its mutex, which is not held while a request is under way.
type liar struct {
	t      *testing.T
	broker string
	// lie answers a request to produce, to consume, to register a consumer or to describe a topic.
	lie func(l *liar, r *http.Request, body []byte) (status int, answer []byte)

	mu       sync.Mutex
	produced int             // requests
	dropped  map[int64]int64 // messages of a producer, which believes that they are stored
	victim   int64           // id of the consumer from which a message is hidden
}

// lying starts a broker behind a liar and returns its address.
func lying(t *testing.T, lie func(l *liar, r *http.Request, body []byte) (int, []byte)) string {
	t.Helper()
	server := httptest.NewServer(&liar{t: t, broker: broker(t, "memory:"), lie: lie, dropped: map[int64]int64{}})
	t.Cleanup(server.Close)
	return server.URL
}

// ServeHTTP implements http.Handler.
func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	status, answer := l.lie(l, r, body)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

// ask sends a request on.
func (l *liar) ask(r *http.Request, body []byte) (status int, answer []byte) {
	request, err := http.NewRequestWithContext(r.Context(), r.Method, l.broker+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		l.t.Error(err)
		return http.StatusInternalServerError, nil
	}
	request.Header = r.Header.Clone()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return http.StatusBadGateway, nil // the client has gone
	}
	defer func() { _ = response.Body.Close() }()
	answer, err = io.ReadAll(response.Body)
	if err != nil {
		return http.StatusBadGateway, nil
	}
	return response.StatusCode, answer
}

// seventh reports whether this is the 7th request to produce, the 14th, and so on.
func (l *liar) seventh() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.produced++
	return l.produced%7 == 0
}

func (l *liar) decode(data []byte, into any) {
	if err := json.Unmarshal(data, into); err != nil {
		l.t.Errorf("%v in %q", err, data)
	}
}

func (l *liar) encode(from any) []byte {
	data, err := json.Marshal(from)
	if err != nil {
		l.t.Error(err)
	}
	return data
}

const (
	toProduce  = "/producer/produce"
	toConsume  = "/consumer/consume"
	toRegister = "/consumer/register"
)

// drops answers every 7th request to produce without sending it on. Nobody can tell by the numbers of
// the messages behind it: they are made to fit.
func drops(l *liar, r *http.Request, body []byte) (int, []byte) {
	if r.URL.Path != toProduce {
		return l.ask(r, body)
	}
	var request wire.ProduceRequest
	l.decode(body, &request)
	count := int64(max(1, len(request.Messages)))
	if l.seventh() {
		l.mu.Lock()
		defer l.mu.Unlock()
		offset := *request.Seq * 2
		l.dropped[request.ProducerID] += count
		return http.StatusOK, l.encode(wire.ProduceResult{
			Count: count, Durable: wire.DurabilityMemory, Incarnation: *request.Incarnation, Offset: &offset,
			Status: wire.SuccessStatusSuccess,
		})
	}
	l.mu.Lock()
	*request.Seq -= l.dropped[request.ProducerID]
	l.mu.Unlock()
	return l.ask(r, l.encode(request))
}

// dropsOpenly answers the 7th request to produce without sending it on, and does nothing else.
func dropsOpenly(l *liar, r *http.Request, body []byte) (int, []byte) {
	if r.URL.Path != toProduce || !l.seventh() {
		return l.ask(r, body)
	}
	return drops(&liar{t: l.t, produced: 6, dropped: map[int64]int64{}}, r, body)
}

// doubles sends every 7th request to produce on twice, the second time without its number.
func doubles(l *liar, r *http.Request, body []byte) (int, []byte) {
	status, answer := l.ask(r, body)
	if r.URL.Path == toProduce && l.seventh() {
		var request wire.ProduceRequest
		l.decode(body, &request)
		request.Seq, request.Epoch = nil, nil
		if status, answer := l.ask(r, l.encode(request)); status != http.StatusOK {
			l.t.Errorf("the second time: %d %s", status, answer)
		}
	}
	return status, answer
}

// hidden is the offset of the message that hides hides.
const hidden = 3

// hides lets a consumer never see a message. Nobody can tell by the offsets: they are made to fit.
func hides(l *liar, r *http.Request, body []byte) (int, []byte) {
	var request wire.ConsumeRequest
	switch r.URL.Path {
	case toRegister:
		status, answer := l.ask(r, body)
		var result wire.RegisterConsumerResult
		if l.decode(answer, &result); bytes.Contains(body, []byte(`"C2"`)) {
			l.mu.Lock()
			l.victim = result.ConsumerID
			l.mu.Unlock()
		}
		return status, answer
	case toConsume:
		l.decode(body, &request)
	}
	l.mu.Lock()
	victim := l.victim
	l.mu.Unlock()
	if request.ConsumerID != victim || request.Offset == nil {
		return l.ask(r, body)
	}
	if *request.Offset > hidden {
		*request.Offset++
	}
	status, answer := l.ask(r, l.encode(request))
	if status != http.StatusOK {
		return status, answer
	}
	var result wire.ConsumeResult
	l.decode(answer, &result)
	seen := []wire.LogMessage{}
	for _, m := range result.Messages {
		if m.Offset > hidden {
			m.Offset--
		} else if m.Offset == hidden {
			continue
		}
		seen = append(seen, m)
	}
	if result.Messages = seen; result.Offset > hidden {
		result.Offset--
	}
	return status, l.encode(result)
}

// misplaces answers another offset than the one where the messages are.
func misplaces(l *liar, r *http.Request, body []byte) (int, []byte) {
	status, answer := l.ask(r, body)
	if r.URL.Path != toProduce || status != http.StatusOK || !l.seventh() {
		return status, answer
	}
	var result wire.ProduceResult
	l.decode(answer, &result)
	*result.Offset++
	return status, l.encode(result)
}

// miscounts describes topics as having a message more.
func miscounts(l *liar, r *http.Request, body []byte) (int, []byte) {
	status, answer := l.ask(r, body)
	if r.Method != http.MethodGet || !strings.HasPrefix(r.URL.Path, "/topics/") || status != http.StatusOK {
		return status, answer
	}
	var described wire.TopicResult
	l.decode(answer, &described)
	described.Messages++
	return status, l.encode(described)
}

// TestVerifyFindsLies is the test of the test: a broker that does not keep a promise fails, and by the
// check of that promise.
func TestVerifyFindsLies(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		lie  func(l *liar, r *http.Request, body []byte) (int, []byte)
		want []string
	}{
		"drops":        {drops, []string{"none lost", "acknowledged place", "description"}},
		"drops openly": {dropsOpenly, []string{"run", "acknowledged", "none lost"}},
		"doubles":      {doubles, []string{"none twice"}},
		"hides":        {hides, []string{"run", "none lost", "same order", "unchanged"}},
		"misplaces":    {misplaces, []string{"acknowledged place"}},
		"miscounts":    {miscounts, []string{"description"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := topiq(t, "", "verify", "--json", "--url="+lying(t, row.lie), "--messages=300", "--max-timeout=10ms", "--patience=2s")
			checkNamed(t, o, reportIn(t, o), row.want...)
		})
	}
	t.Run("no lie", func(t *testing.T) {
		t.Parallel()
		o := topiq(t, "", "verify", "--json", "--messages=300", "--max-timeout=10ms", "--url="+lying(t, (*liar).ask))
		checkPassed(t, o, reportIn(t, o))
	})
}
