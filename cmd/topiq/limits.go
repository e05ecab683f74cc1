package main

import (
	"math"
	"unicode/utf8"

	"github.com/topiq/topiq/client"
)

// requestReserve is what the body of a request holds beside the messages: names, ids, incarnation.
const requestReserve = 2 << 10

// brokerLimits are those limits of the broker that the commands keep to.
type brokerLimits struct {
	messageBytes    int64
	requestBytes    int // for messages, as they are encoded
	requestMessages int
	answerMessages  int
}

func limitsOf(info client.Info) brokerLimits {
	limit := func(name string, otherwise int64) int64 {
		if n, ok := info.Limits[name]; ok && n > 0 {
			return n
		}
		return otherwise
	}
	return brokerLimits{
		messageBytes:    limit("message_bytes", 1<<20),
		requestBytes:    int(max(1, limit("request_bytes", 8<<20)-requestReserve)),
		requestMessages: int(min(limit("request_messages", 10_000), 10_000)),
		answerMessages:  int(min(limit("limit_max", 1_000), 1_000)),
	}
}

func message(line []byte) client.Message {
	return client.Message{Value: line, Binary: !utf8.Valid(line)}
}

// encodedSize is at least what a line takes in a request.
func encodedSize(line []byte) int {
	const around = len(`{"message_base64":""},`)
	if !utf8.Valid(line) {
		return around + (len(line)+2)/3*4
	}
	if len(line) > math.MaxInt/6 {
		return math.MaxInt
	}
	size := around
	for _, c := range line {
		switch {
		case c < ' ':
			size += len(`\u0000`)
		case c == '"' || c == '\\':
			size += len(`\"`)
		case c == 0xE2: // U+2028 and U+2029 begin with it, have 3 bytes and are written \u2028, \u2029
			size += 4
		default:
			size++
		}
	}
	return size
}
