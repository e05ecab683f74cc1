// Package client is the Go SDK of topiq, a durable, ordered message log over HTTP.
//
// A [Client] is the connection to a broker. From it come a [Producer], which sends messages to one topic, and
// a [Consumer], which gets the messages of several:
//
//	c, err := client.New("http://localhost:8080")
//	…
//	p, err := c.Producer(ctx, "orders", client.Name("shop-1"))
//	…
//	result, err := p.Send(ctx, client.Text("Hello"))
//	…
//	s, err := c.Consumer(ctx, []string{"orders"}, client.Name("billing"))
//	…
//	err = s.Run(ctx, func(ctx context.Context, m client.Message) error { … })
//
// [Client.Read], [Client.Pages] and [Client.Messages] read a topic without a registration.
//
// # What is promised
//
// The letter P with a number cites the rules of the project's guarantees, which docs/guarantees.md explains.
//
//   - A producer with a name stores each message exactly once while it lives, in the order of Send (P1, P4).
//     After its crash, a new producer of the name learns from NextSeq how much is stored (P2). With an
//     [Outbox], what it had begun to send is stored as well, exactly once.
//   - A producer without a name never repeats a message whose outcome is unknown (P6).
//   - A consumer gets each message of a topic once and in order while it lives. After its crash, a consumer of
//     the same name goes on at the last committed position; with [Offsets], at the one that the program kept.
//   - A pure read moves nothing and leaves nothing behind, however the program ends (P11).
//   - Any broker of a store will do: with [Brokers], what fails on one is repeated on another, if it may be.
//   - Don't know is an outcome of its own: [ErrOutcomeUnknown] is told whenever an answer was lost and no
//     repeat has settled it, and never otherwise.
//   - Another life of a topic is told as [ErrIncarnationChanged]: one that was deleted and made anew, or whose
//     operator has run "topiq store new-incarnation" (P13). Brokers do not recognise by themselves yet that a
//     restore or a failover lost data; [ErrOffsetOutOfRange] may then be the only sign (P11).
//
// # Errors
//
// Every refusal is an [*Error], and matches by its code one of the sentinels, such as [ErrTopicNotFound],
// with errors.Is. Methods that block take a context and return its error when it ends.
package client
