package service_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

const page = 64 << 10

// TestStreamsShare: what streams are given and what has not gone out yet is bounded, for all of them together.
func TestStreamsShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := setup(t, open(t, memory.New(memory.Config{}), service.Config{Limits: service.Limits{
			MessageBytes: page / 2, StreamBytes: 2 * page,
		}}))
		for range 6 {
			wantErr(t, "produce", f.sendBytes(t.Context(), page/2), nil)
		}
		var idle []*service.Stream // they wait for news, and hold nothing
		for range 10 {
			s := f.openStream(6)
			f.wantTold(s, 0, service.StreamCaughtUp, 6)
			f.wantTold(s, time.Second, service.StreamIdle, 0)
			idle = append(idle, s)
		}
		one, two, three := f.openStream(0), f.openStream(0), f.openStream(0)
		f.wantTold(one, 0, service.StreamMessages, 2)
		f.wantTold(two, 0, service.StreamMessages, 2)
		f.wantTold(three, 0, service.StreamIdle, 0)
		f.wantTold(three, 10*time.Second, service.StreamIdle, 0)

		// A reader that comes back makes room, and has its turn behind those that wait.
		time.AfterFunc(time.Second, func() { f.wantTold(one, time.Minute, service.StreamMessages, 4) })
		began := time.Now()
		f.wantTold(three, 10*time.Second, service.StreamMessages, 2)
		want(t, "three waited", time.Since(began), time.Second)
		two.Close()
		synctest.Wait()
		f.wantTold(three, 0, service.StreamMessages, 4)

		// Nobody waits for the news of others.
		one.Close()
		three.Close()
		wantErr(t, "produce", f.sendBytes(t.Context(), 1), nil)
		for _, s := range idle[:2] {
			f.wantTold(s, time.Second, service.StreamMessages, 7)
		}
		f.wantTold(idle[2], time.Second, service.StreamIdle, 0)
		f.wantTold(idle[0], 0, service.StreamCaughtUp, 7)
		f.wantTold(idle[2], time.Second, service.StreamMessages, 7)
	})
}

// TestStreamsShareLargeMessages: a message that is larger than a page needs a larger share, and streams that need
// one do not wait for each other for ever.
func TestStreamsShareLargeMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := setup(t, open(t, memory.New(memory.Config{}), service.Config{Limits: service.Limits{
			MessageBytes: 2*page - 8<<10, StreamBytes: 2 * page,
		}}))
		for range 2 {
			wantErr(t, "produce", f.sendBytes(t.Context(), page+1), nil)
		}
		one, two := f.openStream(0), f.openStream(0)
		f.wantTold(one, 0, service.StreamMessages, 1)
		f.wantTold(two, 0, service.StreamIdle, 0)
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.wantTold(two, time.Minute, service.StreamMessages, 1)
			f.wantTold(two, time.Minute, service.StreamMessages, 2)
			two.Close()
		}()
		<-time.After(time.Second)
		f.wantTold(one, time.Minute, service.StreamMessages, 2)
		one.Close()
		<-done
	})
}

// TestStreamWaitsForItsShareUntilTheEnd: who waits for a share is told when the broker shuts down.
func TestStreamWaitsForItsShareUntilTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := service.NewBroker(memory.New(memory.Config{}), service.Config{Limits: service.Limits{
			MessageBytes: page / 2, StreamBytes: page,
		}})
		f := setup(t, b)
		f.produce("a")
		one, two := f.openStream(0), f.openStream(0)
		f.wantTold(one, 0, service.StreamMessages, 1)
		closed := make(chan error, 1)
		time.AfterFunc(time.Second, func() { closed <- b.Close(t.Context()) })
		_, err := two.Next(t.Context(), time.Minute)
		wantErr(t, "next", err, service.ErrUnavailable)
		wantErr(t, "close", <-closed, nil)
	})
	limits := service.Limits{StreamBytes: page}
	if limits.Validate() == nil {
		t.Error("streams may hold less than one message")
	}
}
