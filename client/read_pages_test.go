package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Pages ends at what was the end when it began, also while the topic grows; Messages goes through the same.
func TestPagesEnd(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c, _ := filled(t, 5, nil)
	p := openProducer(t, c, "orders")
	var got []Message
	pages := 0
	for page, err := range c.Pages(ctx, "orders", ReadOptions{MaxMessages: 3}) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.SendBatch(ctx, numbered("late", 3)); err != nil {
			t.Fatal(err)
		}
		got = append(got, page.Messages...)
		pages++
		if last := got[len(got)-1]; page.NextOffset != last.Offset+1 {
			t.Errorf("page %d leads to %d", pages, page.NextOffset)
		}
	}
	if texts(got) != "m0 m1 m2 m3 m4" || pages != 2 {
		t.Errorf("%d pages: %s", pages, texts(got))
	}
	got = nil
	for m, err := range c.Messages(ctx, "orders", ReadOptions{From: At(3), MaxMessages: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, m); len(got) == 3 {
			break
		}
	}
	if texts(got) != "m3 m4 late0" {
		t.Errorf("%s", texts(got))
	}
	for page, err := range c.Pages(ctx, "orders", ReadOptions{From: End}) {
		if err != nil || len(page.Messages) != 0 || page.NextOffset != 11 {
			t.Errorf("at the end: %+v, %v", page, err)
		}
	}
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
}

// With the real broker behind a bad network, following sees each message once, in order, as it is stored.
func TestFollowOnABadNetwork(t *testing.T) {
	t.Parallel()
	const total = 300
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	c, b := filled(t, 0, chaos(seed))
	sender := dial(t, b.URL, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var group sync.WaitGroup
	group.Go(func() {
		p := openProducer(t, sender, "orders", MaxBatchMessages(5))
		if _, err := p.SendBatch(ctx, numbered("m", total)); err != nil {
			t.Error(err)
		}
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	n := 0
	for m, err := range c.Messages(ctx, "orders", ReadOptions{MaxMessages: 7, Wait: time.Second, Follow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprint("m", n); m.Offset != int64(n) || string(m.Value) != want {
			t.Fatalf("message %d is %+v", n, m)
		}
		if n++; n == total {
			break
		}
	}
	group.Wait()
}

// Following ends with what lasts, and with its context; the topic may go at any moment.
func TestFollowEnds(t *testing.T) {
	t.Parallel()
	c, _ := filled(t, 2, nil)
	follow := func(ctx context.Context, meanwhile func()) error {
		var last error
		for page, err := range c.Pages(ctx, "orders", ReadOptions{From: At(1), Follow: true}) {
			last = err
			if len(page.Messages) > 0 {
				meanwhile()
			}
		}
		return last
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := follow(ctx, cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("the context ended: %v", err)
	}
	err := follow(t.Context(), func() {
		if err := c.DeleteTopic(t.Context(), "orders"); err != nil {
			t.Error(err)
		}
	})
	if !errors.Is(err, ErrTopicNotFound) {
		t.Errorf("the topic was deleted: %v", err)
	}
}

// The first page is tried as often as any call; from then on passing failures are waited out, each attempt
// sends the incarnation and the offset that are held, and a broker that does not hold requests is not hammered.
func TestFollowWaitsFailuresOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{answers: []any{pageAt(1, 0), pageAt(1), pageAt(1), pageAt(2, 1)}}
		down := true
		c, l := connect(t, s, func(r *request) fault {
			if down || r.n > 4 && r.n < 24 {
				return faultLost
			}
			return faultNone
		}, WithRetry(Retry{Attempts: 3}))
		if _, err := c.Read(t.Context(), "orders", ReadOptions{}); err == nil || len(l.to(readPath)) != 3 {
			t.Errorf("%v after %d requests", err, len(l.to(readPath)))
		}
		down = false
		var got []Message
		for m, err := range c.Messages(t.Context(), "orders", ReadOptions{Follow: true}) {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, m); len(got) == 2 {
				break
			}
		}
		want := "offset=0 offset=1&wait=20&incarnation=one offset=1&wait=20&incarnation=one offset=1&wait=20&incarnation=one"
		if strings.Join(s.queries, " ") != want {
			t.Errorf("queries %q", s.queries)
		}
		requests := l.to(readPath)
		if gap := requests[24].at.Sub(requests[23].at); len(requests) != 26 || gap < minPollTime {
			t.Errorf("%d requests, the last but one after %s", len(requests), gap)
		}
	})
}
