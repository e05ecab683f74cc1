package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/db/postgres"
	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/service"
)

// listening waits until n connections to a database listen.
func listening(t *testing.T, url string, n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // a test's connection
	for deadline := time.Now().Add(time.Minute); ; {
		var got int
		err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND state = 'idle' AND query LIKE 'LISTEN %'`).Scan(&got)
		if err != nil {
			t.Fatal(err)
		}
		if got == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections listen, want %d", got, n)
		}
	}
}

// wakes has a call wait at one broker for what another produces.
func wakes(t *testing.T, at, through *service.Broker) {
	t.Helper()
	producer, head, err := through.RegisterProducer(t.Context(), "t", "", "")
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		woken := make(chan error, 1)
		asleep := make(chan struct{})
		go func() {
			close(asleep)
			got, err := at.Read(t.Context(), service.ReadRequest{
				Topic: head.Name, Offset: new(head.Next + service.Offset(n)), Wait: new(time.Minute),
			})
			if err == nil && len(got.Messages) != 1 {
				err = errors.New("it slept to its deadline")
			}
			woken <- err
		}()
		<-asleep
		if _, err := through.Produce(t.Context(), service.ProduceRequest{
			Topic: head.Name, Producer: producer.ID, Payloads: []service.Payload{{}},
		}); err != nil {
			t.Fatal(err)
		}
		if err := <-woken; err != nil {
			t.Fatal(err)
		}
	}
}

func brokerThat(t *testing.T, url string, poll time.Duration) *service.Broker {
	t.Helper()
	store, err := postgres.Open(t.Context(), url, postgres.Config{Logger: quiet(), MaxConns: smallConns})
	if err != nil {
		t.Fatal(err)
	}
	b := service.NewBroker(store, service.Config{Logger: slog.New(slog.DiscardHandler), PollInterval: poll})
	t.Cleanup(func() { stop(t, []*service.Broker{b}) })
	return b
}

// TestHintsWake: without a poll, a broker learns by LISTEN of what another has appended.
func TestHintsWake(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	a, b := brokerThat(t, url, time.Hour), brokerThat(t, url, time.Hour)
	listening(t, url, 2)
	wakes(t, a, b)
	wakes(t, b, a)
	// The connections are lost, and come back by themselves.
	execute(t, url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'")
	listening(t, url, 2)
	wakes(t, a, b)
}

// TestPollIsEnough: where LISTEN cannot work, everything else does.
func TestPollIsEnough(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	deaf, refused := withoutListen(t, cluster.URL())
	a, b := brokerThat(t, deaf, 50*time.Millisecond), brokerThat(t, deaf, 50*time.Millisecond)
	<-refused
	wakes(t, a, b)
	wakes(t, b, a)
	listening(t, cluster.URL(), 0)
}

// withoutListen is an address of the same server on which every connection that says LISTEN is cut.
func withoutListen(t *testing.T, address string) (deaf string, refused <-chan struct{}) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	socket := filepath.Join(query.Get("host"), ".s.PGSQL.5432")
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var copies sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		copies.Wait()
	})
	cut := make(chan struct{}, 1)
	copies.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := (&net.Dialer{}).DialContext(context.WithoutCancel(t.Context()), "unix", socket)
			if err != nil {
				_ = client.Close()
				continue
			}
			copies.Go(func() {
				_, _ = io.Copy(client, server)
				_ = client.Close()
			})
			copies.Go(func() {
				defer server.Close() //nolint:errcheck // a test's connection
				buffer := make([]byte, 64<<10)
				for {
					n, err := client.Read(buffer)
					if err != nil {
						return
					}
					if bytes.Contains(buffer[:n], []byte("LISTEN topiq")) {
						select {
						case cut <- struct{}{}:
						default:
						}
						return
					}
					if _, err := server.Write(buffer[:n]); err != nil {
						return
					}
				}
			})
		}
	})
	return "postgres://postgres@" + listener.Addr().String() + "/postgres?sslmode=disable", cut
}
