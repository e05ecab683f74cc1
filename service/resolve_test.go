package service_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/topiq/topiq/service"
)

// lose makes the answer of a call disappear: it has happened, and nobody knows.
func lose(do func() (service.AppendPlan, error)) error {
	if _, err := do(); err != nil {
		return err
	}
	return service.ErrOutcomeUnknown
}

// loseFirst loses the answers of the first n appends.
func loseFirst(n int) hook[service.AppendPlan] {
	return func(call int, do func() (service.AppendPlan, error)) (service.AppendPlan, error) {
		if call <= n {
			return service.AppendPlan{}, lose(do)
		}
		return do()
	}
}

func TestLostAnswerIsFoundOut(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]int{"once": 1, "and those of the re-runs too": 5} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := newHooked()
				f := setup(t, open(t, store, service.Config{}))
				p := f.named("p")
				f.produce("before")
				store.calls.Store(0)
				store.append = loseFirst(lost)
				result, err := f.send(p, 0, "a", "b")
				wantErr(t, "produce", err, nil)
				offset, _ := result.Offset()
				want(t, "answer", fmt.Sprint(offset, result.Count, result.Duplicate), "1 2 false")
				want(t, "appends", store.calls.Load(), int64(lost+1))
				got, err := f.Read(t.Context(), service.ReadRequest{Topic: topicName, Offset: new(service.Offset(0))})
				wantErr(t, "read", err, nil)
				want(t, "stored", texts(got.Messages), []string{"before", "a", "b"})
				want(t, "the next goes on behind it", f.produce("c"), 3)
				wantErr(t, "ready", f.Ready(t.Context()), nil)
			})
		})
	}
}

// A re-run stores what the first attempt has not.
func TestLostRequestIsStored(t *testing.T) {
	t.Parallel()
	store := newHooked()
	f := setup(t, open(t, store, service.Config{}))
	p := f.named("p")
	store.append = func(call int, do func() (service.AppendPlan, error)) (service.AppendPlan, error) {
		if call == 1 {
			return service.AppendPlan{}, service.ErrOutcomeUnknown
		}
		return do()
	}
	result, err := f.send(p, 0, "a")
	wantErr(t, "produce", err, nil)
	offset, _ := result.Offset()
	want(t, "offset", offset, 0)
	got, err := f.consumeAt(0, 0)
	wantErr(t, "consume", err, nil)
	want(t, "stored", texts(got.Messages), []string{"a"})
}

// Who waits for messages is woken by what a re-run finds.
func TestFoundMessagesWakeWhoWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newHooked()
		f := setup(t, open(t, store, service.Config{}))
		p := f.named("p")
		store.append = loseFirst(1)
		time.AfterFunc(time.Second, func() {
			_, err := f.send(p, 0, "a")
			wantErr(t, "produce", err, nil)
		})
		began := time.Now()
		got, err := f.consumeAt(0, 30*time.Second)
		wantErr(t, "consume", err, nil)
		want(t, "messages", texts(got.Messages), []string{"a"})
		want(t, "waited", time.Since(began), time.Second)
	})
}

// Nobody could find out about a message without seq. Its producer is told so at once, while those that
// went with it are resolved; and what comes after waits, so that nothing is overtaken.
func TestMessageWithoutSeqIsNotRunAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newHooked()
		f := setup(t, open(t, store, service.Config{}))
		p := f.named("p")
		block, again := make(chan struct{}), make(chan struct{})
		store.append = func(call int, do func() (service.AppendPlan, error)) (service.AppendPlan, error) {
			switch call {
			case 1:
				<-block // so that the others form one group
			case 2:
				return service.AppendPlan{}, lose(do)
			case 3:
				<-again
			}
			return do()
		}
		first, plain, sequenced, later := make(chan error, 1), make(chan error, 1), make(chan error, 1), make(chan error, 1)
		go func() { first <- f.try("first") }()
		synctest.Wait()
		go func() { plain <- f.try("plain") }()
		go func() {
			_, err := f.send(p, 0, "sequenced")
			sequenced <- err
		}()
		synctest.Wait()
		close(block)
		wantErr(t, "first", <-first, nil)
		wantErr(t, "without seq", <-plain, service.ErrOutcomeUnknown)
		go func() { later <- f.try("later") }()
		synctest.Wait()
		want(t, "appends while the outcome is unknown", store.calls.Load(), 3)
		want(t, "answers while the outcome is unknown", len(sequenced)+len(later), 0)
		close(again)
		wantErr(t, "with seq", <-sequenced, nil)
		wantErr(t, "later", <-later, nil)
		got, err := f.Read(t.Context(), service.ReadRequest{Topic: topicName, Offset: new(service.Offset(0))})
		wantErr(t, "read", err, nil)
		if n := len(got.Messages); n != 4 {
			t.Errorf("%d messages are stored, want 4: %v", n, texts(got.Messages))
		}
	})
}

// A store that stays away is not waited for for ever; then nobody knows, and the lane goes on.
func TestOutcomeStaysUnknownWithoutAStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newHooked()
		f := setup(t, open(t, store, service.Config{}))
		p := f.named("p")
		store.append = func(call int, do func() (service.AppendPlan, error)) (service.AppendPlan, error) {
			if call == 1 {
				return service.AppendPlan{}, lose(do)
			}
			return service.AppendPlan{}, service.ErrUnavailable
		}
		began := time.Now()
		_, err := f.send(p, 0, "a")
		wantErr(t, "produce", err, service.ErrOutcomeUnknown)
		want(t, "code", service.CodeOf(err), service.CodeOutcomeUnknown)
		if took := time.Since(began); took > 45*time.Second {
			t.Errorf("it took %v", took)
		}
		if n := store.calls.Load(); n < 10 || n > 100 {
			t.Errorf("%d attempts", n)
		}
		store.set(func() { store.append = nil })
		result, err := f.send(p, 0, "a")
		wantErr(t, "produce again", err, nil)
		offset, _ := result.Offset()
		want(t, "the client's retry", fmt.Sprint(offset, result.Duplicate), "0 true")
	})
}

// What cannot get better is not repeated.
func TestResolvingEndsWhereItIsUseless(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]error{
		"the store has stopped":    service.ErrUnavailable.Because(service.ErrStopped),
		"the store is full":        service.ErrStorageFull,
		"what is stored is broken": service.ErrInternal,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := newHooked()
				f := setup(t, open(t, store, service.Config{}))
				p := f.named("p")
				store.append = func(call int, do func() (service.AppendPlan, error)) (service.AppendPlan, error) {
					if call == 1 {
						return service.AppendPlan{}, lose(do)
					}
					return service.AppendPlan{}, failure
				}
				_, err := f.send(p, 0, "a")
				want(t, "code", service.CodeOf(err), service.CodeOutcomeUnknown)
				want(t, "attempts", store.calls.Load(), 2)
			})
		})
	}
}

// Close lets a group be resolved, but waits no longer than it was told to.
func TestCloseDoesNotWaitForAStoreThatStaysAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newHooked()
		b := service.NewBroker(store, service.Config{})
		f := setup(t, b)
		p := f.named("p")
		store.append = func(int, func() (service.AppendPlan, error)) (service.AppendPlan, error) {
			return service.AppendPlan{}, service.ErrOutcomeUnknown
		}
		answer := make(chan error, 1)
		go func() {
			_, err := f.send(p, 0, "a")
			answer <- err
		}()
		<-time.After(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		wantErr(t, "Close", b.Close(ctx), context.DeadlineExceeded)
		wantErr(t, "produce", <-answer, service.ErrOutcomeUnknown)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// A topic that went away while nobody knew is no refusal: the messages may have been stored in it.
func TestTopicDeletedWhileNobodyKnows(t *testing.T) {
	t.Parallel()
	store := newHooked()
	f := setup(t, open(t, store, service.Config{}))
	p := f.named("p")
	store.append = func(call int, do func() (service.AppendPlan, error)) (service.AppendPlan, error) {
		if call > 1 {
			return do()
		}
		lost := lose(do)
		if deleted := store.Store.DeleteTopic(t.Context(), topicName, time.Now()); deleted != nil {
			t.Error(deleted)
		}
		return service.AppendPlan{}, lost
	}
	_, err := f.send(p, 0, "a")
	want(t, "code", service.CodeOf(err), service.CodeOutcomeUnknown)
}

// losing loses answers of calls that are not grouped. before and after have the errors of each call.
type losing struct {
	service.Store
	calls  int
	before map[int]error
	after  map[int]error
}

func (l *losing) through(call func() error) error {
	l.calls++
	if err := l.before[l.calls]; err != nil {
		return err
	}
	if err := call(); err != nil {
		return err
	}
	return l.after[l.calls]
}

func (l *losing) RegisterProducer(ctx context.Context, r service.ProducerRegistration) (row service.Producer, head service.Head, err error) {
	err = l.through(func() error {
		row, head, err = l.Store.RegisterProducer(ctx, r)
		return err
	})
	return row, head, err
}

func (l *losing) Producer(ctx context.Context, topic service.TopicName, name string) (row service.Producer, err error) {
	err = l.through(func() error {
		row, err = l.Store.Producer(ctx, topic, name)
		return err
	})
	return row, err
}

func (l *losing) Seek(ctx context.Context, r service.SeekRequest, now time.Time) (row service.Consumer, err error) {
	err = l.through(func() error {
		row, err = l.Store.Seek(ctx, r, now)
		return err
	})
	return row, err
}

func TestWhatMayBeRepeatedIs(t *testing.T) {
	t.Parallel()
	unknown, lost := map[int]error{1: service.ErrOutcomeUnknown}, map[int]error{1: service.ErrOutcomeUnknown, 2: service.ErrOutcomeUnknown}
	refused := func(refusal error) map[int]error { return map[int]error{2: service.ErrUnavailable, 3: refusal} }
	register := func(f *fixture) (any, error) {
		row, _, err := f.RegisterProducer(f.t.Context(), topicName, "p", "token")
		return row.Epoch, err
	}
	state := func(f *fixture) (any, error) {
		row, err := f.ProducerState(f.t.Context(), topicName, "known")
		return row.Epoch, err
	}
	seek := func(f *fixture) (any, error) {
		row, err := f.SetOffset(f.t.Context(), service.SetOffsetRequest{Consumer: f.consumer, Offset: new(service.Offset(1))})
		return row.Offset, err
	}
	anonymous := func(f *fixture) (any, error) {
		row, _, err := f.RegisterProducer(f.t.Context(), topicName, "", "")
		return row.Epoch, err
	}
	without := func(f *fixture) (any, error) {
		row, _, err := f.RegisterProducer(f.t.Context(), topicName, "p", "")
		return row.Epoch, err
	}
	for name, c := range map[string]struct {
		call          func(*fixture) (any, error)
		before, after map[int]error
		calls         int
		answer        any
		code          service.Code
	}{
		"register":                       {register, nil, lost, 3, int64(1), ""},
		"register before it happened":    {register, unknown, nil, 2, int64(1), ""},
		"register refused meanwhile":     {register, refused(service.ErrProducerFenced), unknown, 3, nil, service.CodeOutcomeUnknown},
		"state":                          {state, nil, lost, 3, int64(1), ""},
		"state of what is gone":          {state, refused(service.ErrTopicNotFound), unknown, 3, nil, service.CodeTopicNotFound},
		"seek":                           {seek, nil, lost, 3, service.Offset(1), ""},
		"seek refused meanwhile":         {seek, refused(service.ErrConsumerNotFound), unknown, 3, nil, service.CodeOutcomeUnknown},
		"register without a name":        {anonymous, nil, unknown, 1, nil, service.CodeOutcomeUnknown},
		"register without an instance":   {without, nil, unknown, 1, nil, service.CodeOutcomeUnknown},
		"refused at once":                {seek, map[int]error{1: service.ErrConsumerNotFound}, nil, 1, nil, service.CodeConsumerNotFound},
		"unavailable from the beginning": {seek, map[int]error{1: service.ErrUnavailable}, nil, 1, nil, service.CodeUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &losing{Store: newHooked()}
				f := setup(t, open(t, store, service.Config{}))
				f.named("known")
				f.produce("0")
				store.calls, store.before, store.after = 0, c.before, c.after
				answer, err := c.call(f)
				want(t, "calls", store.calls, c.calls)
				if c.code != "" {
					want(t, "code", service.CodeOf(err), c.code)
					return
				}
				wantErr(t, "call", err, nil)
				want(t, "answer", answer, c.answer)
			})
		})
	}
}
