package hostile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// Slow is a way to be slow.
type Slow string

// The ways.
const (
	EndlessHeaders Slow = "headers that never end"
	SlowBody       Slow = "a body at a byte a second"
	NeverReads     Slow = "answers that are never read"
	SlowReader     Slow = "answers read at a byte a second"
)

// SlowKinds are all of them.
func SlowKinds() []Slow { return []Slow{EndlessHeaders, SlowBody, NeverReads, SlowReader} }

const (
	slowBodyBytes = 10_000 // announced, so never complete in time
	slowStep      = time.Second
	askStep       = 100 * time.Millisecond
	// receiveBuffer is small, so that an answer that nobody reads soon stops at the broker.
	receiveBuffer = 4 << 10
	dialLimit     = 10 * time.Second
)

// Outcome is what a broker did about clients that are slow in one way.
type Outcome struct {
	Kind    Slow
	Clients int
	Cut     int           // whose connection the broker ended
	Uncut   int           // who were still connected when the limit was over
	Failed  int           // who could not connect
	Longest time.Duration // until the last was cut
}

// BeSlow connects so many clients that are slow in one way and waits until the broker has cut them all, or
// the limit is over. The topic must hold more than systems buffer, a few megabytes, for answers that are
// not read to matter.
func BeSlow(ctx context.Context, kind Slow, addr, topic string, clients int, limit time.Duration) Outcome {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	outcome := Outcome{Kind: kind, Clients: clients}
	var mu sync.Mutex
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			began := time.Now()
			err := beSlow(ctx, kind, addr, topic)
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, errConnect):
				outcome.Failed++
			case err != nil:
				outcome.Uncut++
			default:
				outcome.Cut++
				outcome.Longest = max(outcome.Longest, took)
			}
		})
	}
	group.Wait()
	return outcome
}

var (
	errConnect = errors.New("no connection")
	errUncut   = errors.New("the broker still waits for this client")
)

// beSlow returns nil when the broker has cut the connection.
func beSlow(ctx context.Context, kind Slow, addr, topic string) error {
	conn, err := (&net.Dialer{Timeout: dialLimit}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("%w: %w", errConnect, err)
	}
	defer func() { _ = conn.Close() }()
	end := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer end()
	switch kind {
	case EndlessHeaders:
		return trickle(ctx, conn, "GET /healthz HTTP/1.1\r\nHost: "+addr+"\r\nX: ")
	case SlowBody:
		return trickle(ctx, conn, fmt.Sprintf("POST /producer/produce HTTP/1.1\r\nHost: %s\r\n"+
			"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n{", addr, slowBodyBytes))
	default:
		return askInVain(ctx, conn, kind == SlowReader, fmt.Sprintf(
			"GET /topics/%s/messages?offset=0&limit=10000&max_bytes=1048576 HTTP/1.1\r\nHost: %s\r\n\r\n", topic, addr))
	}
}

// trickle sends a beginning, and then a byte a second. It reads, and so sees the broker's end.
func trickle(ctx context.Context, conn net.Conn, beginning string) error {
	if _, err := io.WriteString(conn, beginning); err != nil {
		return verdict(ctx)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, conn) // an answer such as 408 may come first
	}()
	ticker := time.NewTicker(slowStep)
	defer ticker.Stop()
	for {
		select {
		case <-ended:
			return verdict(ctx)
		case <-ticker.C:
			_, _ = io.WriteString(conn, "x") // a failure ends the reading too
		}
	}
}

// askInVain sends requests whose answers it does not read, or at a byte a second. A write that fails for
// another reason than time shows that the broker has ended the connection.
func askInVain(ctx context.Context, conn net.Conn, read bool, request string) error {
	if tcp, ok := conn.(*net.TCPConn); ok {
		if err := tcp.SetReadBuffer(receiveBuffer); err != nil {
			return err
		}
	}
	ticker := time.NewTicker(askStep)
	defer ticker.Stop()
	one := make([]byte, 1)
	rest := ""
	for lastRead := time.Now(); ctx.Err() == nil; <-ticker.C {
		if rest == "" {
			rest = request
		}
		_ = conn.SetWriteDeadline(time.Now().Add(askStep))
		n, err := io.WriteString(conn, rest)
		rest = rest[n:]
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if read && time.Since(lastRead) >= slowStep {
			lastRead = time.Now()
			_ = conn.SetReadDeadline(time.Now().Add(slowStep))
			if _, err := conn.Read(one); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				return nil
			}
		}
	}
	return errUncut
}

// verdict tells the end that the broker made from the one that the limit made.
func verdict(ctx context.Context) error {
	if ctx.Err() != nil {
		return errUncut
	}
	return nil
}

// String is one line for a report.
func (o Outcome) String() string {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "%d clients with %s: %d cut", o.Clients, o.Kind, o.Cut)
	if o.Cut > 0 {
		_, _ = fmt.Fprintf(&b, ", the last after %s", o.Longest.Round(10*time.Millisecond))
	}
	if o.Uncut > 0 {
		_, _ = fmt.Fprintf(&b, ", %d NEVER CUT", o.Uncut)
	}
	if o.Failed > 0 {
		_, _ = fmt.Fprintf(&b, ", %d could not connect", o.Failed)
	}
	return b.String()
}
