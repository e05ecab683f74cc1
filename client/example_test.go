package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"
	"time"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/client"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// broker starts one inside this process, for the examples. Programs use the address of theirs.
func broker() (url string, stop func()) {
	b := service.NewBroker(memory.New(memory.Config{}), service.Config{})
	server := httptest.NewServer(api.NewHandler(b, api.Config{}))
	return server.URL, func() {
		_ = b.Close(context.Background())
		server.Close()
	}
}

func Example() {
	url, stop := broker()
	defer stop()
	ctx := context.Background()
	c, err := client.New(url)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()

	p, err := c.Producer(ctx, "orders", client.Name("shop-1"))
	if err != nil {
		log.Fatal(err)
	}
	result, err := p.Send(ctx, client.Text("Hello"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("stored at offset", result.Offset, "as number", result.Seq)
	if err := p.Close(ctx); err != nil {
		log.Fatal(err)
	}

	s, err := c.Consumer(ctx, []string{"orders"}, client.Name("billing"))
	if err != nil {
		log.Fatal(err)
	}
	messages, err := s.Poll(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range messages {
		fmt.Println(m.Topic, m.Offset, string(m.Value))
	}
	if err := errors.Join(s.Commit(ctx), s.Close(ctx)); err != nil {
		log.Fatal(err)
	}
	// Output:
	// stored at offset 0 as number 0
	// orders 0 Hello
}

// A producer whose source can be read again, such as a file, keeps nothing itself: the broker knows how far
// it came.
func ExampleProducer_NextSeq() {
	url, stop := broker()
	defer stop()
	ctx := context.Background()
	c, err := client.New(url)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()

	lines := []string{"first", "second", "third", "fourth"}
	copyLines := func(most int) error {
		p, err := c.Producer(ctx, "lines", client.Name("copier"), client.StopAtRefusal())
		if err != nil {
			return err
		}
		from := p.NextSeq()
		to := min(from+int64(most), int64(len(lines)))
		for _, line := range lines[from:to] {
			r, err := p.Send(ctx, client.Text(line))
			if err != nil {
				return err
			}
			fmt.Println(r.Seq, line)
		}
		return p.Close(ctx)
	}
	for range 2 { // as if the program had ended in the middle
		if err := copyLines(2); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// 0 first
	// 1 second
	// 2 third
	// 3 fourth
}

func ExampleConsumer_Run() {
	url, stop := broker()
	defer stop()
	ctx := context.Background()
	c, err := client.New(url)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	p, err := c.Producer(ctx, "orders")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := p.SendBatch(ctx, []client.Message{client.Text("one"), client.Bytes([]byte{0, 255})}); err != nil {
		log.Fatal(err)
	}

	s, err := c.Consumer(ctx, []string{"orders"}, client.Name("billing"), client.Timeout(100*time.Millisecond))
	if err != nil {
		log.Fatal(err)
	}
	err = s.Run(ctx, func(_ context.Context, m client.Message) error {
		fmt.Printf("%d binary=%t %q\n", m.Offset, m.Binary, m.Value)
		return nil // from here on the message counts as processed
	})
	if err := errors.Join(err, s.Close(ctx), p.Close(ctx)); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 0 binary=false "one"
	// 1 binary=true "\x00\xff"
}

// To have the effect of each message exactly once, a program stores the position together with the effect, in
// one transaction, and begins with it again.
func ExampleOffsets() {
	url, stop := broker()
	defer stop()
	ctx := context.Background()
	c, err := client.New(url)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	p, err := c.Producer(ctx, "orders")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := p.SendBatch(ctx, []client.Message{client.Text("a"), client.Text("b"), client.Text("c")}); err != nil {
		log.Fatal(err)
	}

	stored := map[string]client.Position{} // stands for a table
	for range 2 {
		s, err := c.Consumer(ctx, []string{"orders"}, client.Offsets(stored))
		if err != nil {
			log.Fatal(err)
		}
		for m, err := range s.Messages(ctx) {
			if err != nil {
				log.Fatal(err)
			}
			position, _ := s.Position(m.Topic)
			position.Offset = m.Offset + 1
			stored[m.Topic] = position // in the same transaction as the effect
			fmt.Println(string(m.Value))
			if m.Offset != 0 {
				break
			}
		}
		if err := s.Close(ctx); err != nil {
			log.Fatal(err)
		}
	}
	if err := p.Close(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// a
	// b
	// c
}

func ExampleError() {
	url, stop := broker()
	defer stop()
	c, err := client.New(url)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()

	_, err = c.DescribeTopic(context.Background(), "missing")
	fmt.Println(errors.Is(err, client.ErrTopicNotFound))
	if e, ok := errors.AsType[*client.Error](err); ok {
		fmt.Println(e.Op, e.Code, e.Status)
	}
	// Output:
	// true
	// describe topic topic_not_found 404
}
