package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// lineReader reads a stream line by line, byte for byte: only the newline itself is no part of a
// line. What follows the last newline is a line unless it is empty.
type lineReader struct {
	in       *bufio.Reader
	maxBytes int64
	// read is how many lines were read, which is the number of the last one, from 1.
	read int64
}

func newLineReader(in io.Reader, maxBytes int64) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(in, 1<<20), maxBytes: maxBytes}
}

// lineTooLongError names the line that no message can hold.
type lineTooLongError struct{ line, maxBytes int64 }

// Error implements error.
func (e *lineTooLongError) Error() string {
	return fmt.Sprintf("line %d is longer than %d bytes, the largest message that the broker takes", e.line, e.maxBytes)
}

// next returns the next line, which belongs to the caller, and io.EOF after the last one. It never
// holds more of a line that is too long than it needs to find out.
func (r *lineReader) next() ([]byte, error) {
	var line []byte
	for {
		part, err := r.in.ReadSlice('\n')
		ended := err == nil
		if ended {
			part = part[:len(part)-1]
		}
		line = append(line, part...)
		switch {
		case int64(len(line)) > r.maxBytes:
			return nil, &lineTooLongError{line: r.read + 1, maxBytes: r.maxBytes}
		case ended, errors.Is(err, io.EOF) && len(line) > 0:
			r.read++
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// ready reports whether a whole line can be read without waiting for more input.
func (r *lineReader) ready() bool {
	buffered, _ := r.in.Peek(r.in.Buffered()) // what is buffered can be peeked at
	return bytes.IndexByte(buffered, '\n') >= 0
}

// batch is lines that follow each other. err is what came after them, io.EOF at the end.
type batch struct {
	first int64 // the number of the first line, from 1
	lines [][]byte
	err   error
}

// batch reads at most maxLines lines: the first of them even if it must wait for it, then those
// that are there already. So a file goes in large batches, and a line that somebody types is not
// held back until there are more.
func (r *lineReader) batch(maxLines int) batch {
	b := batch{first: r.read + 1}
	for len(b.lines) == 0 || len(b.lines) < maxLines && r.ready() {
		line, err := r.next()
		if err != nil {
			b.err = err
			return b
		}
		b.lines = append(b.lines, line)
	}
	return b
}

// batches reads one batch ahead while the receiver works on another. The last one has err set, but
// nothing comes any more once ctx has ended; a read that is then under way ends with its input, or
// with the process.
func (r *lineReader) batches(ctx context.Context, maxLines int) <-chan batch {
	out := make(chan batch)
	go func() {
		for {
			b := r.batch(maxLines)
			select {
			case out <- b:
			case <-ctx.Done():
				return
			}
			if b.err != nil {
				return
			}
		}
	}()
	return out
}
