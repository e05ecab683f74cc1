package service

import "fmt"

// holeError says that a read did not give the messages that the head promises.
type holeError struct {
	at  Offset
	got int
}

func (e *holeError) Error() string {
	return fmt.Sprintf("offset %d is missing from a read of %d messages", e.at, e.got)
}
