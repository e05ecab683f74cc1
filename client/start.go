package client

import (
	"strconv"
	"time"
)

// AtTime is the first message that was stored at or after a time, and the end of the topic if there is none
// yet. Stored times never decrease with the offset, but they are those of the broker's clock.
func AtTime(t time.Time) Start { return Start(t.UTC().Format(time.RFC3339Nano)) }

// offset is the offset that the start is, if it is one.
func (s Start) offset() (int64, bool) {
	n, err := strconv.ParseInt(string(s), 10, 64)
	return n, err == nil && n >= 0
}

// time is the time that the start is, if it is one.
func (s Start) time() (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, string(s))
	return t, err == nil
}

// check refuses what no start is.
func (s Start) check(field string) error {
	_, isOffset := s.offset()
	_, isTime := s.time()
	if s == Beginning || s == End || isOffset || isTime {
		return nil
	}
	return invalid(field, "%q is neither an offset nor a time nor one of the two ends", string(s))
}
