package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/gen/wire"
)

// leave puts messages into an outbox that are not sent, as a life does that is killed.
func leave(t *testing.T, c *Client, path string, messages ...Message) {
	t.Helper()
	o, err := openOutbox(systemDisk{}, path, "orders", "shop")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = o.close() }()
	p, err := c.openProducer(t.Context(), "orders", producerConfig{name: "shop", batchMessages: 1, batchBytes: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.abandon()
	epoch, next := p.epoch, p.NextSeq()
	result := wire.RegisterProducerResult{Epoch: &epoch, NextSeq: &next, Incarnation: p.incarnation}
	if err := o.adopt("orders", "shop", &result); err != nil {
		t.Fatal(err)
	}
	var raws [][]byte
	for i := range messages {
		raw, err := messages[i].encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		raws = append(raws, raw)
	}
	if err := o.keep(next+int64(len(o.pending)), raws); err != nil {
		t.Fatal(err)
	}
}

// What an earlier life left is sent first, with its kind, bytes and headers, and then what is new.
func TestOutboxIsSentFirst(t *testing.T) {
	t.Parallel()
	c := dial(t, apitest.Serve(t).URL, nil)
	path := filepath.Join(t.TempDir(), "box")
	leave(t, c, path, Text("a"), Bytes([]byte{0, 255}), Message{Value: []byte("ü\x00"), Headers: map[string]string{"k": "v"}})
	p := openProducer(t, c, "orders", Name("shop"), Outbox(path))
	if p.Leftover() != 3 {
		t.Errorf("%d left", p.Leftover())
	}
	r, err := p.Send(t.Context(), Text("new"))
	if err != nil || r.Seq != 3 || r.Offset != 3 || p.NextSeq() != 4 {
		t.Errorf("%+v, %v, next %d", r, err, p.NextSeq())
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	page, err := c.Read(t.Context(), "orders", ReadOptions{})
	if err != nil || len(page.Messages) != 4 {
		t.Fatalf("%d messages, %v", len(page.Messages), err)
	}
	m := page.Messages
	if texts(m[:1]) != "a" || !m[1].Binary || !bytes.Equal(m[1].Value, []byte{0, 255}) || m[2].Headers["k"] != "v" || string(m[2].Value) != "ü\x00" {
		t.Errorf("%+v", m)
	}
	if p := openProducer(t, c, "orders", Name("shop"), Outbox(path)); p.Leftover() != 0 {
		t.Errorf("%d left", p.Leftover())
	}
}

// Which outboxes are refused, before anybody is fenced and without a change to the file.
func TestOutboxIsRefused(t *testing.T) {
	t.Parallel()
	c := dial(t, apitest.Serve(t).URL, nil)
	path := filepath.Join(t.TempDir(), "box")
	leave(t, c, path, numbered("m", 3)...)
	leave(t, c, path, numbered("n", 3)...)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	state, err := c.ProducerState(t.Context(), "orders", "shop")
	if err != nil {
		t.Fatal(err)
	}
	open := func(topic, name, file string) error {
		_, err := c.Producer(t.Context(), topic, Name(name), Outbox(file))
		return err
	}
	for _, at := range []int{0, 5, 60, bytes.Index(whole, []byte("m1")), bytes.Index(whole, []byte("n1"))} {
		bad := bytes.Clone(whole)
		bad[at] ^= 1
		file := filepath.Join(t.TempDir(), "bad")
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := open("orders", "shop", file); !errors.Is(err, ErrOutboxDamaged) {
			t.Errorf("byte %d: %v", at, err)
		}
		if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, bad) {
			t.Errorf("byte %d: the file was changed, %v", at, err)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"other topic": open("other", "shop", path), "other name": open("orders", "other", path),
	} {
		if !errors.Is(err, ErrInvalidRequest) || !strings.Contains(err.Error(), "shop of topic orders") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := open("orders", "shop", empty); !errors.Is(err, ErrOutboxDamaged) {
		t.Errorf("empty: %v", err)
	}
	if after, err := c.ProducerState(t.Context(), "orders", "shop"); err != nil || after.Epoch != state.Epoch {
		t.Errorf("a refused outbox opened a session: %+v, %v", after, err)
	}
	p := openProducer(t, c, "orders", Name("shop"), Outbox(path))
	if err := open("orders", "shop", path); !errors.Is(err, ErrOutboxBusy) {
		t.Errorf("in use: %v", err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Errorf("nobody fenced it, but: %v", err)
	}
	for _, opts := range [][]ProducerOption{{Outbox(path)}, {Outbox(path), Name("shop"), StopAtRefusal()}} {
		if _, err := c.Producer(t.Context(), "orders", opts...); !errors.Is(err, ErrInvalidRequest) {
			t.Errorf("options: %v", err)
		}
	}
}

// A tail that was not synced is cut off, wherever it is torn; what was synced before it is not.
func TestOutboxTornTail(t *testing.T) {
	t.Parallel()
	head := appendRecord(nil, recordHeader, []byte(`{"topic":"t","prod_name":"p","incarnation":"i","epoch":1,"next_seq":5}`))
	head = appendRecord(head, recordMessage, number(5), []byte("five"))
	head = appendRecord(head, recordSynced, number(int64(len(head))))
	tail := appendRecord(nil, recordMessage, number(6), []byte("six"))
	tail = appendRecord(tail, recordMessage, number(7), []byte("seven"))
	for cut := range tail {
		s, err := replayOutbox(slices.Concat(head, tail[:cut]))
		if want := 1 + min(1, cut/len(appendRecord(nil, recordMessage, number(6), []byte("six")))); err != nil || len(s.pending) != want {
			t.Errorf("cut at %d: %d messages, %v; want %d", cut, len(s.pending), err, want)
		}
		torn := slices.Concat(head, tail)
		torn[len(head)+cut] ^= 0x10 // and what comes behind may be whole
		if s, err := replayOutbox(torn); err != nil || len(s.pending) > 2 || string(s.pending[0].raw) != "five" {
			t.Errorf("torn at %d: %v, %v", cut, s.pending, err)
		}
		torn = appendRecord(torn, recordSynced, number(int64(len(torn))))
		if _, err := replayOutbox(torn); !errors.Is(err, ErrOutboxDamaged) {
			t.Errorf("damaged at %d after a sync: %v", cut, err)
		}
	}
}

// A topic with another history gets nothing of the outbox (P13); one with nothing in it goes along.
func TestOutboxOfAnotherIncarnation(t *testing.T) {
	t.Parallel()
	c := dial(t, apitest.Serve(t).URL, nil)
	path := filepath.Join(t.TempDir(), "box")
	leave(t, c, path, Text("old"))
	if err := c.DeleteTopic(t.Context(), "orders"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := c.Producer(t.Context(), "orders", Name("shop"), Outbox(path)); !errors.Is(err, ErrIncarnationChanged) {
			t.Errorf("%v", err)
		}
	}
	raw, err := os.ReadFile(path)
	if s, replayErr := replayOutbox(raw); err != nil || replayErr != nil || len(s.pending) != 1 {
		t.Errorf("the message is gone: %v, %v", err, replayErr)
	}
	other := filepath.Join(t.TempDir(), "box")
	for _, want := range []string{"new", "new new"} {
		p := openProducer(t, c, "orders", Name("shop"), Outbox(other))
		if _, err := p.Send(t.Context(), Text("new")); err != nil {
			t.Error(err)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got := everything(t, c); got != want {
			t.Errorf("stored %s", got)
		}
	}
	if err := c.DeleteTopic(t.Context(), "orders"); err != nil {
		t.Fatal(err)
	}
	if r, err := openProducer(t, c, "orders", Name("shop"), Outbox(other)).Send(t.Context(), Text("x")); err != nil || r.Seq != 0 {
		t.Errorf("an outbox with nothing in it: %+v, %v", r, err)
	}
}

// Somebody else used the name after the outbox was left: its messages are compared, not dropped.
func TestOutboxAfterAnotherSession(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ others, want string }{
		{"x", "x"},                       // took the seq of m0
		{"m0 m1 m2 x", "m0 m1 m2 x new"}, // all is stored, and more
		{"m0", "m0 m1 m2 new"},           // the rest is stored now
	} {
		t.Run(row.others, func(t *testing.T) {
			t.Parallel()
			c := dial(t, apitest.Serve(t).URL, nil)
			path := filepath.Join(t.TempDir(), "box")
			leave(t, c, path, numbered("m", 3)...)
			other := openProducer(t, c, "orders", Name("shop"))
			for text := range strings.FieldsSeq(row.others) {
				if _, err := other.Send(t.Context(), Text(text)); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // the second time too: nothing was settled by the first
				p := openProducer(t, c, "orders", Name("shop"), Outbox(path))
				err := p.Flush(t.Context())
				if taken := row.want == "x"; taken != errors.Is(err, ErrSeqReused) || !taken && err != nil {
					t.Errorf("%v", err)
				}
				if err == nil && !strings.HasSuffix(everything(t, c), "new") {
					if _, err := p.Send(t.Context(), Text("new")); err != nil {
						t.Error(err)
					}
				}
				_ = p.Close(t.Context())
			}
			if got := everything(t, c); got != row.want {
				t.Errorf("stored %s", got)
			}
		})
	}
}

// A refusal of a message takes it out; one of the producer leaves all in, and says so.
func TestOutboxAndRefusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.maxBytes = 8
		c, l := connect(t, f, nil)
		path := filepath.Join(t.TempDir(), "box")
		p := openProducer(t, c, "orders", Name("shop"), Outbox(path))
		results, err := p.SendBatch(t.Context(), []Message{Text("a"), Text("much too large"), Text("b")})
		if !errors.Is(err, ErrMessageTooLarge) || errors.Is(err, ErrInOutbox) || results[2].Seq != 1 {
			t.Errorf("%+v, %v", results, err)
		}
		l.fault = func(*request) fault { return fault401 }
		if _, err := p.Send(t.Context(), Text("c")); !errors.Is(err, ErrUnauthorized) || !errors.Is(err, ErrInOutbox) || errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("refused by its token: %v", err)
		}
		if _, err := p.Send(t.Context(), Text("d")); !errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrInOutbox) {
			t.Errorf("after the stop: %v", err)
		}
		_ = p.Close(t.Context())
		l.fault = nil
		if p := openProducer(t, c, "orders", Name("shop"), Outbox(path)); p.Close(t.Context()) != nil || p.Leftover() != 1 {
			t.Errorf("%d left", p.Leftover())
		}
		if got := strings.Join(f.orders(), " "); got != "a b c" {
			t.Errorf("stored %s", got)
		}
	})
}

// Who gives up a message under way is told that it will be sent, and it is.
func TestOutboxAndGivingUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		c, l := connect(t, f, nil)
		path := filepath.Join(t.TempDir(), "box")
		p := openProducer(t, c, "orders", Name("shop"), Outbox(path))
		l.fault = func(*request) fault { return faultHang }
		ctx, cancel := context.WithCancel(t.Context())
		sent, waiting := make(chan error, 1), make(chan error, 1)
		go func() { _, err := p.Send(ctx, Text("a")); sent <- err }()
		synctest.Wait()
		go func() { _, err := p.Send(ctx, Text("b")); waiting <- err }()
		synctest.Wait()
		cancel()
		if err := <-sent; !errors.Is(err, ErrInOutbox) || !errors.Is(err, ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
			t.Errorf("under way: %v", err)
		}
		if err := <-waiting; errors.Is(err, ErrInOutbox) || errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("waiting: %v", err)
		}
		_ = c.Close() // as if the process had died
		c, _ = connect(t, f, nil)
		p = openProducer(t, c, "orders", Name("shop"), Outbox(path))
		if err := errors.Join(p.Flush(t.Context()), p.Close(t.Context())); err != nil || fmt.Sprint(f.orders()) != "[a]" {
			t.Errorf("stored %s, %v", f.orders(), err)
		}
	})
}

// The file does not grow with what is stored.
func TestOutboxStaysSmall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := connect(t, newFake(), nil)
		path := filepath.Join(t.TempDir(), "box")
		p := openProducer(t, c, "orders", Name("shop"), Outbox(path))
		text, most := Text(strings.Repeat("x", 1<<18)), int64(0)
		for range 60 { // 15 MiB
			if _, err := p.Send(t.Context(), text); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			most = max(most, info.Size())
		}
		if limit := int64(outboxSlack + 2<<18); most > limit {
			t.Errorf("it had %d bytes, more than %d", most, limit)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
