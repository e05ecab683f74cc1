package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// pipes is a listener whose connections are in memory: it has as many as are wanted, whatever the limit
// of open files.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

// pipeReader reads one stream, without a buffer that lasts.
type pipeReader struct{ conn net.Conn }

// until reads until something comes.
func (r pipeReader) until(wanted string) error {
	var got []byte
	buffer := make([]byte, 4096)
	for !bytes.Contains(got, []byte(wanted)) {
		n, err := r.conn.Read(buffer)
		if got = append(got, buffer[:n]...); err != nil {
			return fmt.Errorf("%w after %q", err, got)
		}
	}
	return nil
}

// inUse is the memory of the process that is not free.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// TestTenThousandStreams: so many can be open, take little memory while they wait, are all woken by one
// message, and do not hold up the shutdown though nobody reads any more.
func TestTenThousandStreams(t *testing.T) { //nolint:paralleltest // it measures the memory of the process
	streams := 10_000
	if testing.Short() || apitest.RaceDetector {
		streams = 1000
	}
	// No limit but those of streams, however slow the machine is.
	config := api.Config{Connections: streams + 1, HeaderTimeout: 10 * time.Minute, BodyTimeout: 10 * time.Minute}
	broker := service.NewBroker(memory.New(memory.Config{}), service.Config{})
	producer, _, err := broker.RegisterProducer(t.Context(), "orders", "", "")
	if err != nil {
		t.Fatal(err)
	}
	listener := newPipes()
	server := api.NewServer(api.NewHandler(broker, config), config)
	served := make(chan error, 1)
	go func() { served <- server.Serve(api.Listen(listener, config)) }()

	readers := make([]pipeReader, streams)
	each := func(do func(i int) error) {
		t.Helper()
		next, failed := make(chan int), make(chan error, streams)
		var group sync.WaitGroup
		for range 64 {
			group.Go(func() {
				for i := range next {
					if err := do(i); err != nil {
						failed <- err
					}
				}
			})
		}
		for i := range readers {
			next <- i
		}
		close(next)
		group.Wait()
		close(failed)
		if n := len(failed); n > 0 {
			t.Fatalf("%d of %d failed, such as: %v", n, streams, <-failed)
		}
	}

	before := inUse()
	each(func(i int) error {
		readers[i].conn = listener.dial()
		_, err := fmt.Fprint(readers[i].conn, "GET /topics/orders/stream?offset=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
		return errors.Join(err, readers[i].until(`{"next_offset":0,`))
	})
	perStream := (inUse() - before) / int64(streams)
	t.Logf("%d streams, each with both ends of its connection in %d bytes", streams, perStream)
	if perStream > 64<<10 {
		t.Errorf("a stream that waits takes %d bytes", perStream)
	}

	if _, err := broker.Produce(t.Context(), service.ProduceRequest{
		Topic: "orders", Producer: producer.ID, Payloads: []service.Payload{{Bytes: []byte("to all")}},
	}); err != nil {
		t.Fatal(err)
	}
	each(func(i int) error { return readers[i].until(`{"next_offset":1,`) })

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	closed := make(chan error, 1)
	server.RegisterOnShutdown(func() { closed <- broker.Close(ctx) })
	if err := errors.Join(server.Shutdown(ctx), <-closed); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}
