package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/topiq/topiq/service"
)

// limitFlags are the limits of the broker, named like the members of `limits` in GET /info.
type limitFlags struct {
	RequestBytes           byteSize `default:"8MiB" help:"Largest body of a request, in bytes (KiB, MiB and GiB may follow the number)."`
	MessageBytes           byteSize `default:"1MiB" help:"Largest message, without its headers, in bytes."`
	RequestMessages        int      `default:"10000" help:"Most messages of one produce request."`
	HeaderEntries          int      `default:"32" help:"Most headers of one message."`
	HeaderBytes            byteSize `default:"8KiB" help:"Names and values of the headers of one message together, in bytes."`
	LimitDefault           int      `default:"100" help:"Entries of an answer to a call that does not say how many."`
	LimitMax               int      `default:"10000" help:"Most entries that a call may ask for."`
	AnswerBytesDefault     byteSize `default:"4MiB" help:"Messages of an answer to a call that does not say how many bytes."`
	AnswerBytesMax         byteSize `default:"8MiB" help:"Most bytes of messages that a call may ask for."`
	WaitSeconds            int      `default:"60" help:"Longest wait for a message, in seconds."`
	HeaderBlockBytes       byteSize `default:"16KiB" help:"HTTP headers of one request together, in bytes."`
	JSONDepth              int      `name:"json-depth" default:"16" help:"Deepest nesting of JSON in a request."`
	ReadHeaderSeconds      int      `default:"5" help:"Time to send the HTTP headers of a request, in seconds."`
	ReadBodySeconds        int      `default:"10" help:"Time to send the body of a request, in seconds; a long one gets more, see below."`
	ReadBodyBytesPerSecond byteSize `default:"256KiB" help:"A body gets one second more for each so many bytes."`
	ReadingBytes           byteSize `default:"256MiB" help:"Most memory for all bodies that are being read at a time, in bytes; never less than two of the largest."`
	IdleSeconds            int      `default:"60" help:"Time a connection may be idle between two requests, in seconds."`
	Connections            int      `default:"0" help:"Most connections at a time, beyond which the one that has rested longest is closed for a new one; 0 is 25000, or the open files that the system grants less 1000 where that is less."`
	WaitingPollers         int      `default:"20000" help:"Most calls that wait for a message at a time, open streams among them."`
	QueueBytes             byteSize `default:"64MiB" help:"Most bytes that wait to be committed."`
	QueueRequests          int      `default:"20000" help:"Most requests that wait to be committed."`
}

// Validate refuses limits that contradict each other; kong calls it.
func (l *limitFlags) Validate() error {
	for name, value := range map[string]int64{
		"request-bytes": int64(l.RequestBytes), "message-bytes": int64(l.MessageBytes),
		"request-messages": int64(l.RequestMessages), "header-entries": int64(l.HeaderEntries),
		"header-bytes": int64(l.HeaderBytes), "limit-default": int64(l.LimitDefault), "limit-max": int64(l.LimitMax),
		"answer-bytes-default": int64(l.AnswerBytesDefault), "answer-bytes-max": int64(l.AnswerBytesMax),
		"wait-seconds": int64(l.WaitSeconds), "header-block-bytes": int64(l.HeaderBlockBytes),
		"json-depth": int64(l.JSONDepth), "read-header-seconds": int64(l.ReadHeaderSeconds),
		"read-body-seconds": int64(l.ReadBodySeconds), "read-body-bytes-per-second": int64(l.ReadBodyBytesPerSecond),
		"reading-bytes": int64(l.ReadingBytes), "idle-seconds": int64(l.IdleSeconds),
		"waiting-pollers": int64(l.WaitingPollers), "queue-bytes": int64(l.QueueBytes), "queue-requests": int64(l.QueueRequests),
	} {
		if value < 1 {
			return fmt.Errorf("--%s must be at least 1", name)
		}
	}
	switch {
	case l.Connections < 0:
		return errors.New("--connections must not be negative")
	case l.MessageBytes > l.RequestBytes:
		return fmt.Errorf("--message-bytes must not be more than --request-bytes (%d)", l.RequestBytes)
	case l.LimitDefault > l.LimitMax:
		return fmt.Errorf("--limit-default must not be more than --limit-max (%d)", l.LimitMax)
	case l.AnswerBytesDefault > l.AnswerBytesMax:
		return fmt.Errorf("--answer-bytes-default must not be more than --answer-bytes-max (%d)", l.AnswerBytesMax)
	case l.RequestBytes > l.QueueBytes:
		return fmt.Errorf("--request-bytes must not be more than --queue-bytes (%d)", l.QueueBytes)
	}
	limits := l.service()
	return limits.Validate()
}

// service returns those limits that the broker itself keeps.
func (l *limitFlags) service() service.Limits {
	return service.Limits{
		RequestBytes: int64(l.RequestBytes), MessageBytes: int64(l.MessageBytes), Messages: l.RequestMessages,
		HeaderEntries: l.HeaderEntries, HeaderBytes: int64(l.HeaderBytes),
		ReadMessages: l.LimitMax, DefaultReadMessages: l.LimitDefault,
		ReadBytes: int64(l.AnswerBytesMax), DefaultReadBytes: int64(l.AnswerBytesDefault),
		Wait: time.Duration(l.WaitSeconds) * time.Second, Waiters: l.WaitingPollers,
		QueueRequests: l.QueueRequests, QueueBytes: int64(l.QueueBytes),
		ListEntries: l.LimitMax, DefaultListEntries: l.LimitDefault,
	}
}

// byteSize is a number of bytes, written as a plain number or with KiB, MiB or GiB after it.
type byteSize int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *byteSize) UnmarshalText(text []byte) error {
	number, shift := string(text), 0
	for suffix, s := range map[string]int{"KiB": 10, "MiB": 20, "GiB": 30} {
		if n, ok := strings.CutSuffix(number, suffix); ok {
			number, shift = strings.TrimSpace(n), s
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		return fmt.Errorf("%q is not a number of bytes: write 8388608 or 8MiB", text)
	}
	*b = byteSize(n << shift)
	return nil
}
