package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// outboxWorld is a broker and a producer with an outbox that lives again and again.
type outboxWorld struct {
	t       *testing.T
	random  *rand.Rand
	handler http.Handler
	disk    *crashDisk
	life    int

	mu       sync.Mutex
	acked    map[string]bool
	promised map[string]bool // Send said that they will be
	never    map[string]bool // Send said that they are not stored and will not be
}

func newOutboxWorld(t *testing.T, random *rand.Rand, last int) *outboxWorld {
	t.Helper()
	b := service.NewBroker(memory.New(memory.Config{}), service.Config{Limits: service.Limits{MessageBytes: 64}})
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	return &outboxWorld{
		t: t, random: random, handler: api.NewHandler(b, api.Config{AllowedHosts: []string{"broker.test"}}), disk: newCrashDisk(t, random, last),
		acked: map[string]bool{}, promised: map[string]bool{}, never: map[string]bool{},
	}
}

// connect makes the client of one life. Its network loses about every fourth answer or request, and the machine may
// end before and after each request.
func (w *outboxWorld) connect() *Client {
	kinds := []fault{faultNone, faultNone, faultNone, faultNone, faultNone, faultReply, faultLost}
	l := &link{handler: w.handler, fault: func(*request) fault {
		w.disk.mu.Lock()
		defer w.disk.mu.Unlock()
		return kinds[w.random.IntN(len(kinds))]
	}}
	disk := w.disk
	c, err := New("http://broker.test", WithRetry(Retry{Attempts: 100, Base: 1, Max: time.Millisecond}),
		WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if err := disk.tick(); err != nil {
				return nil, err
			}
			rsp, err := l.RoundTrip(r)
			if end := disk.tick(); err == nil && end != nil {
				_ = rsp.Body.Close()
				return nil, end
			}
			return rsp, err
		})}))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *outboxWorld) options() []ProducerOption {
	disk := w.disk
	return []ProducerOption{
		Name("shop"), Outbox(crashPath), MaxBatchMessages(5),
		producerOption(func(cfg *producerConfig) { cfg.disk, cfg.outboxSlack = disk, 300 }),
	}
}

// live is one life: three senders until all is sent or the machine ends. Some messages are refused by the broker.
func (w *outboxWorld) live(each int) {
	w.life++
	c := w.connect()
	p, err := c.Producer(w.t.Context(), "orders", w.options()...)
	if err != nil {
		if !errors.Is(err, errCrashed) {
			w.t.Errorf("life %d: %v", w.life, err)
		}
		_ = c.Close()
		return
	}
	var senders sync.WaitGroup
	for g := range 3 {
		senders.Go(func() {
			for i := range each {
				text := fmt.Sprintf("%d.%d.%d", w.life, g, i)
				if (i+g)%7 == 3 {
					text = "bad" + text + strings.Repeat("x", 64)
				}
				_, err := p.Send(w.t.Context(), Text(text))
				if !w.sent(text, err) {
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		senders.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-w.disk.off:
	}
	_ = c.Close()
	<-done
}

// sent notes what Send said of a message.
func (w *outboxWorld) sent(text string, err error) (goOn bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	bad := strings.HasPrefix(text, "bad")
	switch {
	case err == nil && bad:
		w.t.Errorf("%s is stored", text)
	case err == nil:
		w.acked[text] = true
	case errors.Is(err, ErrInOutbox):
		w.promised[text] = !bad
	case errors.Is(err, ErrOutcomeUnknown):
	default:
		w.never[text] = true
	}
	return err == nil || errors.Is(err, ErrMessageTooLarge) && !errors.Is(err, ErrInOutbox)
}

// check ends with a life in which nothing fails, and compares the topic with what was promised.
func (w *outboxWorld) check() {
	t := w.t
	t.Helper()
	c, _ := connect(t, w.handler, nil)
	c.retry.Attempts = 1
	p, err := c.Producer(t.Context(), "orders", w.options()...)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(t.Context()); err != nil && !errors.Is(err, ErrMessageTooLarge) {
		t.Fatal(err)
	}
	if s, err := replayOutbox(w.disk.names[crashPath].data); err != nil || len(s.pending) > 0 {
		t.Errorf("left in the outbox: %v, %v", s.pending, err)
	}
	last := map[string]int{}
	stored := map[string]bool{}
	for m, err := range c.Messages(t.Context(), "orders", ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		text := string(m.Value)
		if stored[text] || w.never[text] {
			t.Errorf("%s is stored, twice %t, though not to be %t", text, stored[text], w.never[text])
		}
		if m.Seq == nil || *m.Seq != m.Offset {
			t.Errorf("%s at %d has not that seq", text, m.Offset)
		}
		stored[text] = true
		var life, sender, i int
		if _, err := fmt.Sscanf(text, "%d.%d.%d", &life, &sender, &i); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		one := fmt.Sprint(life, sender)
		if before, seen := last[one]; seen && before >= i {
			t.Errorf("%s after %d", text, before)
		}
		last[one] = i
	}
	for what, must := range map[string]map[string]bool{
		"acknowledged": w.acked, "synced": w.disk.kept, "promised": w.promised,
	} {
		for text, yes := range must {
			if yes && !stored[text] {
				t.Errorf("%s was %s, and is lost", text, what)
			}
		}
	}
}

// The machine ends at each step in turn: of the disk, and before and after each request. Whatever was synced, or
// acknowledged, is stored once, in order.
func TestOutboxSurvivesAnEndAtEachStep(t *testing.T) {
	t.Parallel()
	for _, power := range []bool{false, true} {
		for last := 1; last <= 80; last++ {
			seed := rand.Uint64()
			ok := t.Run(fmt.Sprintf("power=%t/step=%d", power, last), func(t *testing.T) {
				t.Parallel()
				t.Logf("seed %d", seed)
				w := newOutboxWorld(t, rand.New(rand.NewPCG(seed, 0)), last)
				w.live(10)
				for range 2 {
					w.disk = w.disk.reboot(power, 1+last/3)
					w.live(5)
				}
				w.disk = w.disk.reboot(power, 0)
				w.check()
			})
			if !ok {
				return
			}
		}
	}
}

// The machine ends again and again at random.
func TestOutboxSurvivesManyEnds(t *testing.T) {
	t.Parallel()
	for round := range 60 {
		seed := rand.Uint64()
		t.Run(strconv.Itoa(round), func(t *testing.T) {
			t.Parallel()
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			w := newOutboxWorld(t, random, 1+random.IntN(60))
			for range 12 {
				w.live(8)
				w.disk = w.disk.reboot(random.IntN(2) == 0, 1+random.IntN(60))
			}
			w.disk = w.disk.reboot(random.IntN(2) == 0, 0)
			w.check()
		})
	}
}
