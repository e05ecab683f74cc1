package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/alecthomas/kong"

	"github.com/topiq/topiq/client"
)

// place is a place in a topic, as --from and --to take it.
type place client.Start

// Decode implements kong.MapperValue. It takes what follows as it is, so that the age -1h is not
// mistaken for a flag.
func (p *place) Decode(ctx *kong.DecodeContext) error {
	token := ctx.Scan.Pop()
	text, ok := token.Value.(string)
	if !ok {
		return errors.New("a place in the topic is missing")
	}
	start, err := parsePlace(text, time.Now())
	*p = place(start)
	return err
}

func parsePlace(text string, now time.Time) (client.Start, error) {
	if start := client.Start(text); start == client.Beginning || start == client.End {
		return start, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		return client.At(n), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return client.AtTime(t), nil
	}
	if age, err := time.ParseDuration(text); err == nil && age < 0 {
		return client.AtTime(now.Add(age)), nil
	}
	return "", fmt.Errorf("want beginning, end, an offset, a time such as 2026-03-01T09:30:00Z or an age such as -1h, but got %q", text)
}
