// Package pollers is a crowd of clients that wait for messages, in a process of its own: they and
// the broker would else share the limit of open files.
package pollers

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/topiq/topiq/gen/wire"
)

// Command is the first argument that makes the program a crowd.
const Command = "pollers"

// Wave is what the crowd tells of one message for which all waited.
type Wave struct {
	Waiting int `json:"waiting,omitempty"` // so many have sent their requests
	// How many got exactly the message, and when, as nanoseconds since 1970.
	Woken    int    `json:"woken,omitempty"`
	P50      int64  `json:"p50,omitempty"`
	P99      int64  `json:"p99,omitempty"`
	Last     int64  `json:"last,omitempty"`
	Problem  string `json:"problem,omitempty"`
	Problems int    `json:"problems,omitempty"`
}

// Run is the crowd: BROKER-URL TOPIC CLIENTS WAVES. In each wave every client waits for the next
// message of the topic. It writes a Wave when all wait, and one when all were woken. The topic is
// empty in the beginning.
func Run(ctx context.Context, args []string, out, problems io.Writer) int {
	if err := run(ctx, args, out); err != nil {
		_, _ = fmt.Fprintln(problems, "pollers:", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 4 {
		return fmt.Errorf("want BROKER-URL TOPIC CLIENTS WAVES, got %q", args)
	}
	base, err := url.Parse(args[0])
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	waves, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	c := &crowd{host: base.Host, topic: args[1], clients: make([]*client, n)}
	for i := range c.clients {
		c.clients[i] = &client{}
	}
	encoder := json.NewEncoder(out)
	for wave := range waves {
		if err := c.each(func(cl *client) error { return cl.send(ctx, c.host, c.topic, wave) }); err != nil {
			return err
		}
		if err := encoder.Encode(Wave{Waiting: n}); err != nil {
			return err
		}
		if err := encoder.Encode(c.wait(int64(wave))); err != nil {
			return err
		}
	}
	return nil
}

// crowd is all clients.
type crowd struct {
	host, topic string
	clients     []*client
}

// client is one connection.
type client struct {
	conn net.Conn
	in   *bufio.Reader
	at   int64 // when it was woken
	err  error
}

// each does something with every client, some at a time, and returns the first error.
func (c *crowd) each(do func(*client) error) error {
	const atATime = 64
	errs := make(chan error, len(c.clients))
	next := make(chan *client)
	var group sync.WaitGroup
	for range atATime {
		group.Go(func() {
			for cl := range next {
				if err := do(cl); err != nil {
					errs <- err
				}
			}
		})
	}
	for _, cl := range c.clients {
		next <- cl
	}
	close(next)
	group.Wait()
	close(errs)
	return <-errs
}

// send sends the request of one wave. The first one connects: a broker does not wait long for the first
// request of a connection.
func (cl *client) send(ctx context.Context, host, topic string, offset int) error {
	if cl.conn == nil {
		conn, err := (&net.Dialer{Timeout: 20 * time.Second}).DialContext(ctx, "tcp", host)
		if err != nil {
			return err
		}
		cl.conn, cl.in = conn, bufio.NewReaderSize(conn, 2048)
	}
	_, err := fmt.Fprintf(cl.conn, "GET /topics/%s/messages?offset=%d&wait=60 HTTP/1.1\r\nHost: %s\r\n\r\n", topic, offset, host)
	return err
}

// receive waits for the answer, which must have exactly the message at the offset.
func (cl *client) receive(offset int64) error {
	if err := cl.conn.SetReadDeadline(time.Now().Add(70 * time.Second)); err != nil {
		return err
	}
	answer, err := http.ReadResponse(cl.in, nil)
	if err != nil {
		return err
	}
	cl.at = time.Now().UnixNano()
	defer answer.Body.Close() //nolint:errcheck // it is read to its end
	var result wire.ReadMessagesResult
	if err := json.NewDecoder(answer.Body).Decode(&result); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	if answer.StatusCode != http.StatusOK || len(result.Messages) != 1 || result.Messages[0].Offset != offset {
		return fmt.Errorf("an answer %d with %d messages, want the one at offset %d", answer.StatusCode, len(result.Messages), offset)
	}
	return err
}

func (c *crowd) wait(offset int64) Wave {
	var group sync.WaitGroup
	for _, cl := range c.clients {
		group.Go(func() { cl.err = cl.receive(offset) })
	}
	group.Wait()
	var w Wave
	var times []int64
	for _, cl := range c.clients {
		if cl.err != nil {
			w.Problems++
			w.Problem = cl.err.Error()
			continue
		}
		times = append(times, cl.at)
	}
	slices.Sort(times)
	if w.Woken = len(times); w.Woken > 0 {
		w.P50, w.P99, w.Last = times[w.Woken/2], times[w.Woken*99/100], times[w.Woken-1]
	}
	return w
}
