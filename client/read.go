package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/topiq/topiq/gen/wire"
)

// ReadOptions say what to read of a topic. The zero value means from the first message still stored.
type ReadOptions struct {
	// From is where to begin: [Beginning], which is the default, [End], [At] or [AtTime].
	From Start
	// Incarnation is that of the topic as the caller knows it. If the topic has another one by now, the
	// error is [ErrIncarnationChanged] (P13). An empty one is not compared.
	Incarnation string
	// MaxMessages bounds the messages of one page. 0 means the broker's default of 100.
	MaxMessages int
	// MaxBytes bounds the messages and headers of one page in bytes; one message is answered even above it.
	// 0 means the broker's default of 4 MiB.
	MaxBytes int
	// Wait is how long the broker holds a request that finds no message, in whole seconds of at most 60. 0
	// means not at all, and 20 s with Follow.
	Wait time.Duration
	// Follow makes [Client.Pages] and [Client.Messages] wait for more at the end of the topic. [Client.Read]
	// ignores it.
	Follow bool
	// Stream makes [Client.Pages] and [Client.Messages] get what comes after the first page by a stream, in
	// place of requests, if they follow; see the option [Stream] of a consumer. FirstOffset and EndOffset of
	// such a page are those that were last heard of.
	Stream bool
}

// Page is what one Read finds.
type Page struct {
	Messages    []Message // in the order of their offsets, without a gap; empty at the end of the topic
	NextOffset  int64     // where to go on reading
	FirstOffset int64     // of the first message still stored
	EndOffset   int64     // the end of the topic: the offset that the next message gets
	Incarnation string    // of the topic; send it along when going on
}

// offset is where the page begins.
func (p *Page) offset() int64 { return p.NextOffset - int64(len(p.Messages)) }

// Read answers messages from a position on. It is a pure read: it registers nothing, moves nothing (P11), and
// is repeated after passing failures. Go on with [At] of NextOffset and the Incarnation of the page, or let
// [Client.Pages] or [Client.Messages] do so.
//
// Errors: [ErrTopicNotFound]; [ErrIncarnationChanged]; [ErrOffsetTrimmed] if retention has removed the
// position, which [Beginning] never is; [ErrOffsetOutOfRange] for a position above the end;
// [ErrInvalidRequest] for options that cannot work.
func (c *Client) Read(ctx context.Context, topic string, opts ReadOptions) (Page, error) {
	r, err := newReading(c, topic, opts)
	if err != nil {
		return Page{}, err
	}
	return r.first(ctx)
}

// reading is the way through one topic by pure reads.
type reading struct {
	client      *Client
	topic       string
	opts        ReadOptions
	incarnation string     // that is sent; empty until it is known
	offset      int64      // of the next message
	at          *time.Time // in place of offset, if it is set
	feed        *feed      // in place of further pages, if it is set
	last        Page       // the last one
}

func newReading(c *Client, topic string, opts ReadOptions) (*reading, error) {
	if err := checkName("topic", topic); err != nil {
		return nil, err
	}
	if opts.From == "" {
		opts.From = Beginning
	}
	if err := opts.From.check("From"); err != nil {
		return nil, err
	}
	if err := checkPage(opts.Wait, opts.MaxMessages, opts.MaxBytes); err != nil {
		return nil, err
	}
	r := &reading{client: c, topic: topic, opts: opts, incarnation: opts.Incarnation}
	r.offset, _ = opts.From.offset()
	if at, isTime := opts.From.time(); isTime {
		r.at = &at
	}
	return r, nil
}

// first finds where to begin and answers the messages there.
func (r *reading) first(ctx context.Context) (Page, error) {
	if r.opts.From == End {
		topic, err := r.client.DescribeTopic(ctx, r.topic)
		if err != nil {
			return Page{}, err
		}
		r.offset = topic.NextOffset
		if r.incarnation == "" {
			r.incarnation = topic.Incarnation
		}
	}
	for {
		page, err := retry(ctx, r.client, true, r.page)
		// The beginning is 0 until the broker says otherwise, perhaps several times while retention is at
		// work.
		e := asError(err)
		trimmed := errors.Is(err, ErrOffsetTrimmed) && e.FirstOffset != nil && *e.FirstOffset > r.offset
		if r.opts.From != Beginning || !trimmed {
			return page, err
		}
		r.offset = *e.FirstOffset
	}
}

// page makes one attempt to read, and moves on if it succeeds.
func (r *reading) page(ctx context.Context) (Page, error) {
	params := wire.ReadMessagesParams{Offset: &r.offset}
	if r.at != nil {
		params.Offset, params.Time = nil, r.at
	}
	if r.incarnation != "" {
		params.Incarnation = &r.incarnation
	}
	if n := int64(r.opts.MaxMessages); n > 0 {
		params.Limit = &n
	}
	if n := int64(r.opts.MaxBytes); n > 0 {
		params.MaxBytes = &n
	}
	if seconds := int64(r.opts.Wait / time.Second); seconds > 0 {
		params.Wait = &seconds
	}
	var page Page
	_, err := exchange(ctx, r.client, operation{name: "read", wait: r.opts.Wait},
		func(ctx context.Context, to *broker) (*http.Response, error) {
			return to.ReadMessages(ctx, r.topic, &params)
		},
		func(in *wire.ReadMessagesResult) (err error) {
			page, err = r.decode(in)
			return err
		})
	if err != nil {
		return Page{}, err
	}
	r.offset, r.at, r.incarnation, r.last = page.NextOffset, nil, page.Incarnation, page
	return page, nil
}

// decode checks that an answer is what was asked for, before anything of it is handed out.
func (r *reading) decode(in *wire.ReadMessagesResult) (Page, error) {
	if err := answered(in.Status); err != nil {
		return Page{}, err
	}
	page := Page{
		NextOffset: in.NextOffset, FirstOffset: in.FirstOffset, EndOffset: in.EndOffset, Incarnation: in.Incarnation,
	}
	switch begin := in.NextOffset - int64(len(in.Messages)); {
	case in.Messages == nil:
		return Page{}, errors.New("messages is missing")
	case in.Incarnation == "" || r.incarnation != "" && in.Incarnation != r.incarnation:
		return Page{}, fmt.Errorf("the incarnation %q was sent and %q answered", r.incarnation, in.Incarnation)
	case begin < 0, r.at == nil && begin != r.offset:
		return Page{}, fmt.Errorf("%d messages from %d lead to offset %d", len(in.Messages), r.offset, in.NextOffset)
	case in.NextOffset > in.EndOffset:
		return Page{}, fmt.Errorf("offset %d is above the end %d", in.NextOffset, in.EndOffset)
	default:
		var err error
		page.Messages, err = decodeMessages(r.topic, begin, in.Messages)
		return page, err
	}
}
