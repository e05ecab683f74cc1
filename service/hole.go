package service

import (
	"errors"
	"fmt"
)

// holeError says that a read did not give the messages that the head promises.
type holeError struct {
	at  Offset
	got int
}

// contradiction returns what is wrong with what is stored, nil if an error says nothing of the kind. The
// topic is then to be stopped.
func contradiction(err error) error {
	if hole := (*holeError)(nil); errors.As(err, &hole) {
		return hole
	}
	if damage := (*damageError)(nil); errors.As(err, &damage) {
		return damage
	}
	return nil
}

func (e *holeError) Error() string {
	return fmt.Sprintf("offset %d is missing from a read of %d messages", e.at, e.got)
}
