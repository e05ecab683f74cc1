package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// eventRoom is the room for the line of an event, beside its payload.
const eventRoom = 16 << 10

// event waits for the next message of the stream of the topic, and returns the offset after it. It opens the stream if
// there is none.
func (r *receiver) event(ctx context.Context, from int64) (next int64, err error) {
	if r.events == nil {
		if err := r.open(ctx, from); err != nil {
			return 0, err
		}
	}
	if err := r.message(); err != nil {
		r.rest()
		return 0, err
	}
	if offset, ok := firstInteger(r.answer, memberOffset); !ok || offset != from {
		return 0, fmt.Errorf("the message at offset %d is due, and what came is %s", from, excerpt(r.answer))
	}
	return from + 1, nil
}

func (r *receiver) open(ctx context.Context, from int64) error {
	path := "/topics/" + r.topic + "/stream?offset=" + strconv.FormatInt(from, 10)
	r.request = requestHead(r.request[:0], http.MethodGet, path, r.conn, 0)
	body, err := r.conn.stream(ctx, r.request)
	if err != nil {
		r.rest()
		if _, refused := errors.AsType[*refusedError](err); refused {
			return err
		}
		return &lostError{err}
	}
	r.events = bufio.NewReaderSize(body, eventRoom+2*r.payload)
	return nil
}

// rest closes the stream too.
func (r *receiver) rest() {
	r.events = nil
	r.reader.rest()
}

// message reads Server-Sent Events up to the next message, which is r.answer then. The broker writes each field of an event on
// one line.
func (r *receiver) message() error {
	var kind string
	for {
		line, err := r.events.ReadSlice('\n')
		if err != nil {
			return &lostError{err}
		}
		field, value, _ := bytes.Cut(bytes.TrimRight(line, "\n"), []byte(": "))
		switch string(field) {
		case "event":
			kind = string(value)
		case "data":
			r.answer = append(r.answer[:0], value...)
		case "": // the end of an event, or a comment
			if kind == "message" {
				return nil
			}
			if kind == "error" {
				return succeeded(http.StatusServiceUnavailable, r.answer)
			}
			kind = ""
		}
	}
}
