package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/topiq/topiq/client"
)

// Messages reads without a registration: nothing is left behind. Follow would wait for more.
func ExampleClient_Messages() {
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
	if _, err := p.SendBatch(ctx, []client.Message{client.Text("a"), client.Text("b"), client.Text("c")}); err != nil {
		log.Fatal(err)
	}
	if err := p.Close(ctx); err != nil {
		log.Fatal(err)
	}

	for m, err := range c.Messages(ctx, "orders", client.ReadOptions{From: client.At(1)}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(m.Offset, m.ProdName, *m.Seq, string(m.Value))
	}
	// Output:
	// 1 shop-1 1 b
	// 2 shop-1 2 c
}

// A consumer that is not running can be moved from outside, here back to the beginning.
func ExampleClient_SetOffset() {
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
	if _, err := p.SendBatch(ctx, []client.Message{client.Text("a"), client.Text("b")}); err != nil {
		log.Fatal(err)
	}
	s, err := c.Consumer(ctx, []string{"orders"}, client.Name("billing"), client.From(client.End))
	if err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(p.Close(ctx), s.Close(ctx)); err != nil {
		log.Fatal(err)
	}

	state, err := c.ConsumerState(ctx, "orders", "billing")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("at", state.Offset, "with a lag of", state.Lag)
	offset, err := c.SetOffset(ctx, "orders", state.ID, client.Beginning)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("now at", offset)
	// Output:
	// at 2 with a lag of 0
	// now at 0
}
