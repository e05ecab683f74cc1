package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/topiq/topiq/client"
)

// A producer whose source cannot be read again keeps what it sends in a file. What an earlier life of the program
// has left there is sent first.
func ExampleOutbox() {
	url, stop := broker()
	defer stop()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	c, err := client.New(url)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()

	p, err := c.Producer(ctx, "readings", client.Name("sensor-1"), client.Outbox(filepath.Join(dir, "outbox")))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Leftover(), "messages were left")
	result, err := p.Send(ctx, client.Text("21.5"))
	switch {
	case err == nil:
		fmt.Println("stored at offset", result.Offset)
	case errors.Is(err, client.ErrInOutbox):
		fmt.Println("will be stored; do not send it again")
	case errors.Is(err, client.ErrOutcomeUnknown):
		fmt.Println("not known")
	default:
		fmt.Println("not stored:", err)
	}
	if err := p.Close(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 0 messages were left
	// stored at offset 0
}
