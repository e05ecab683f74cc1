package main

import (
	"errors"
	"io"
	"syscall"
)

// output marks the failures of what it writes to. Without the mark, a pipe that whoever reads us
// has closed, which ends a command quietly, would look like a connection that the broker has
// closed, which must not.
type output struct{ to io.Writer }

// Write implements io.Writer.
func (o output) Write(b []byte) (int, error) {
	n, err := o.to.Write(b)
	if err != nil {
		err = &outputError{err}
	}
	return n, err
}

// outputError is a failure to write to standard output.
type outputError struct{ cause error }

// Error implements error.
func (e *outputError) Error() string { return "write the output: " + e.cause.Error() }

// Unwrap returns the cause.
func (e *outputError) Unwrap() error { return e.cause }

// byReader reports whether whoever reads the output has stopped.
func (e *outputError) byReader() bool {
	return errors.Is(e.cause, syscall.EPIPE) || errors.Is(e.cause, io.ErrClosedPipe)
}
