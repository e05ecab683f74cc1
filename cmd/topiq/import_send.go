package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/topiq/topiq/client"
)

// importRun is the messages of one request: they have one name, and numbers that follow on each other, or none.
type importRun struct {
	messages []client.Message
	size     int // about, as JSON
}

// takes reports whether a message can be the next one of a run.
func (r *importRun) takes(m *client.Message, size int, limits brokerLimits) bool {
	if len(r.messages) == 0 {
		return true
	}
	last := &r.messages[len(r.messages)-1]
	follows := m.Seq == nil && last.Seq == nil || m.Seq != nil && last.Seq != nil && *m.Seq == *last.Seq+1
	return follows && m.ProdName == last.ProdName &&
		len(r.messages) < limits.requestMessages && r.size+size <= min(1<<20, limits.requestBytes)
}

// importSize is at least what a message takes in a request.
func importSize(m *client.Message) int {
	size := encodedSize(m.Value)
	if m.Binary {
		size = len(m.Value)*4/3 + 64
	}
	for name, value := range m.Headers {
		size += encodedSize([]byte(name)) + encodedSize([]byte(value)) + len(`"headers":{}`)
	}
	return size
}

// send appends the rest of the export, one request after another: they must come to lie in its order. What
// was read before something that is wrong with the export is sent first.
func (i *importing) send(ctx context.Context) error {
	var r importRun
	for {
		m, wrong := i.next()
		size := importSize(&m)
		if wrong != nil || !r.takes(&m, size, i.limits) {
			if err := i.append(ctx, &r); err != nil {
				return err
			}
			r = importRun{}
		}
		if wrong != nil {
			return ignoreEOF(wrong)
		}
		r.messages, r.size = append(r.messages, m), r.size+size
	}
}

// append stores a run.
func (i *importing) append(ctx context.Context, r *importRun) error {
	if len(r.messages) == 0 {
		return nil
	}
	first := &r.messages[0]
	if first.Seq != nil && !i.registered[first.ProdName] {
		if _, err := i.broker.RegisterProducer(ctx, i.topic, first.ProdName); err != nil {
			return err
		}
		i.registered[first.ProdName] = true
	}
	offset, err := i.broker.Append(ctx, i.topic, client.Append{
		ProducerID: i.registration.ID, Incarnation: i.registration.Incarnation, ProdName: first.ProdName,
		Seq: first.Seq, ExpectedOffset: &i.at, Messages: r.messages,
	})
	switch {
	case errors.Is(err, client.ErrOutcomeUnknown), errors.Is(err, client.ErrAppendConflict):
		err = i.settle(ctx, r, err)
	case err == nil && offset != i.at:
		err = fmt.Errorf("message %d of %s was stored at offset %d before: does another producer use the name?",
			*first.Seq, first.ProdName, offset)
	}
	if err != nil {
		return fmt.Errorf("at offset %d: %w (run the import again, and it goes on)", i.at, err)
	}
	i.at += int64(len(r.messages))
	return nil
}

// settle finds out what became of a run: an attempt whose answer was lost may have stored it.
func (i *importing) settle(ctx context.Context, r *importRun, cause error) error {
	found := 0
	options := client.ReadOptions{
		From: client.At(i.at), Incarnation: i.registration.Incarnation,
		MaxMessages: min(len(r.messages), i.limits.answerMessages),
	}
	for stored, err := range i.broker.Messages(ctx, i.topic, options) {
		if err != nil {
			return err
		}
		if !sameMessage(&r.messages[found], &stored) {
			return fmt.Errorf("somebody else writes to the topic: %w", cause)
		}
		if found++; found == len(r.messages) {
			return nil
		}
	}
	return cause
}
