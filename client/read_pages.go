package client

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Pages goes through a topic page by page, by pure reads: nothing is registered and nothing moves (P11), so a
// program that ends at any moment leaves nothing behind. It ends at what was the end of the topic when it
// began, or with Follow never. The first page may be empty, for it says where reading begins; later ones
// have messages.
//
// The first page is asked for as by [Client.Read]. From then on passing failures are waited out for as long
// as they last: reading goes on at the offset it holds, so that no message is skipped or seen twice. What
// lasts ends it, as does ctx, with an error and no page: [ErrIncarnationChanged] (P13), [ErrOffsetTrimmed] if
// retention was faster, [ErrOffsetOutOfRange] (P11), [ErrTopicNotFound], and any other refusal.
func (c *Client) Pages(ctx context.Context, topic string, opts ReadOptions) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		wait := opts.Wait
		if opts.Follow && wait == 0 {
			wait = defaultWait
		}
		opts.Wait = 0 // what is there now is answered at once
		r, err := newReading(c, topic, opts)
		if err == nil {
			err = checkPage(wait, 0, 0)
		}
		if err != nil {
			yield(Page{}, err)
			return
		}
		page, err := r.first(ctx)
		end := page.EndOffset
		if opts.Follow {
			end = maxOffset
		}
		r.opts.Wait = wait
		if opts.Follow && opts.Stream {
			r.feed = &feed{client: c, topic: topic, limit: opts.MaxMessages, maxBytes: opts.MaxBytes}
			defer r.feed.close()
		}
		for err == nil {
			page.cut(end)
			if !yield(page, nil) || page.NextOffset >= end {
				return
			}
			page, err = r.more(ctx)
		}
		yield(Page{}, err)
	}
}

// maxOffset is above every offset (contract section 2: integers up to 2^53−1).
const maxOffset int64 = 1<<53 - 1

// cut takes away what is not below end.
func (p *Page) cut(end int64) {
	if surplus := p.NextOffset - end; surplus > 0 {
		p.Messages = p.Messages[:int64(len(p.Messages))-surplus]
		p.NextOffset = end
	}
}

// Messages goes through the messages of a topic as [Client.Pages] does, one by one. An error ends it.
func (c *Client) Messages(ctx context.Context, topic string, opts ReadOptions) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for page, err := range c.Pages(ctx, topic, opts) {
			if err != nil {
				yield(Message{}, err)
				return
			}
			for _, m := range page.Messages {
				if !yield(m, nil) {
					return
				}
			}
		}
	}
}

// more reads until there are messages. Passing failures are waited out: the next attempt asks from the same
// offset.
func (r *reading) more(ctx context.Context) (Page, error) {
	for failures := 0; ; {
		began := time.Now()
		page, err := r.receive(ctx)
		if err == nil {
			if len(page.Messages) > 0 {
				return page, nil
			}
			// In case the broker does not hold the request.
			failures, err = 0, sleep(ctx, time.Until(began.Add(minPollTime)))
			if err != nil {
				return Page{}, err
			}
			continue
		}
		if ctx.Err() != nil {
			return Page{}, ctx.Err()
		}
		e := asError(err)
		if !e.passing {
			return Page{}, err
		}
		failures++
		r.client.log.WarnContext(ctx, "topiq: read failed; trying again", "topic", r.topic, "error", err)
		if err := sleep(ctx, r.client.retry.pause(failures, e)); err != nil {
			return Page{}, err
		}
	}
}

// receive gets the next messages, by one request or from the stream.
func (r *reading) receive(ctx context.Context) (Page, error) {
	if r.feed == nil {
		return r.page(ctx)
	}
	messages, err := r.feed.next(ctx, Position{Offset: r.offset, Incarnation: r.incarnation}, r.opts.Wait)
	if errors.Is(err, errNoStreams) {
		return r.page(ctx)
	}
	if err != nil {
		return Page{}, err
	}
	r.offset += int64(len(messages))
	r.last.Messages, r.last.NextOffset = messages, r.offset
	r.last.EndOffset = max(r.last.EndOffset, r.offset)
	return r.last, nil
}
