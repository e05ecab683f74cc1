package nemesis

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/topiq/topiq/torture/server"
)

const (
	wakes     = 60
	wakeWait  = 10 // seconds, of a long poll
	wakeTopic = "wake"
)

// wakeUp measures P12: how soon a long poll on one broker sees what another one stored. What it finds is
// reported, not judged, for it says more of the machine than of the broker; only that it comes at all, and
// no later than the poll itself, is.
func wakeUp() []Nemesis {
	return []Nemesis{{
		ID: "P12", Name: "long poll through another broker, with and without notifications", Engines: []string{Postgres},
		Faults: "wake-ups", Round: wakeUpRound,
	}}
}

func wakeUpRound(ctx context.Context, r *Round) error {
	l, err := r.lines(ctx, 2, BrokerOptions{})
	if err != nil {
		return err
	}
	writer, reader := l.brokers[0], l.brokers[1]
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	id, err := registerProducer(ctx, client, writer.URL(), wakeTopic)
	if err != nil {
		return err
	}
	next := int64(0)
	for _, mute := range []bool{false, true} {
		l.proxies[1].SuppressNotifications(mute)
		name := "notified"
		if mute {
			name = "polled"
		}
		var times []time.Duration
		for range r.Times(wakes) {
			// So that it falls anywhere between two looks of the reader's broker.
			if err := server.Pause(ctx, time.Duration(r.Rand.Int64N(int64(300*time.Millisecond)))); err != nil {
				return err
			}
			took, err := wakeOnce(ctx, client, writer.URL(), reader.URL(), id, next)
			if err != nil {
				return err
			}
			next++
			times = append(times, took)
		}
		r.FaultsMade(len(times))
		r.reportWakes(name, times)
	}
	c := l.proxies[1].Counts()
	r.Result.Extra["notifications_passed"], r.Result.Extra["notifications_dropped"] = float64(c.Notifications), float64(c.Suppressed)
	return r.Check(ctx, CheckOptions{AuditAt: l.direct, NoRate: true})
}

func (r *Round) reportWakes(name string, times []time.Duration) {
	slices.Sort(times)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	p50, p99 := times[len(times)/2], times[len(times)*99/100]
	r.Result.Extra["wake_ms_p50_"+name], r.Result.Extra["wake_ms_p99_"+name] = ms(p50), ms(p99)
	r.Log.Info("wake-ups through another broker", "way", name, "n", len(times), "p50", p50, "p99", p99)
	if slowest := times[len(times)-1]; slowest > wakeWait*time.Second {
		r.Violation("P12: a long poll slept %s, though the message was there", slowest)
	}
}

// wakeOnce begins a long poll on one broker, stores a message through the other, and returns the time from
// the acknowledgement to the answer of the poll. One that was answered before is 0.
func wakeOnce(ctx context.Context, client *http.Client, writer, reader string, producer, next int64) (time.Duration, error) {
	type polled struct {
		at  time.Time
		err error
	}
	answered := make(chan polled, 1)
	go func() {
		var page struct {
			Messages []struct {
				Offset int64 `json:"offset"`
			} `json:"messages"`
		}
		err := must(ctx, client, http.MethodGet, reader+"/topics/"+wakeTopic+"/messages?wait="+strconv.Itoa(wakeWait)+
			"&offset="+strconv.FormatInt(next, 10), nil, &page)
		if err == nil && (len(page.Messages) != 1 || page.Messages[0].Offset != next) {
			err = fmt.Errorf("a long poll for offset %d was answered with %v", next, page.Messages)
		}
		answered <- polled{time.Now(), err}
	}()
	// The poll must have begun to wait; on a busy machine it may not have, and then sees the message at
	// its first look, which makes the result better by less than a look takes.
	if err := server.Pause(ctx, 100*time.Millisecond); err != nil {
		return 0, err
	}
	var stored struct {
		Offset int64 `json:"offset"`
	}
	err := must(ctx, client, http.MethodPost, writer+"/producer/produce", map[string]any{
		"topic": wakeTopic, "producer_id": producer, "message": strconv.FormatInt(next, 10),
	}, &stored)
	acked := time.Now()
	got := <-answered
	if err == nil && stored.Offset != next {
		err = fmt.Errorf("the message is at offset %d, want %d", stored.Offset, next)
	}
	if err == nil {
		err = got.err
	}
	return max(got.at.Sub(acked), 0), err
}
