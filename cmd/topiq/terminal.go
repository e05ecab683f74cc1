package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// The colours of a terminal.
const (
	bold       = "\x1b[1m"
	red        = "\x1b[1;31m"
	plainAgain = "\x1b[0m"
)

// onTerminal reports whether somebody looks at what is written, as far as that can be known.
func onTerminal(w io.Writer) bool {
	switch w := w.(type) {
	case output:
		return onTerminal(w.to)
	case interface{ IsTerminal() bool }:
		return w.IsTerminal()
	case *os.File:
		return term.IsTerminal(int(w.Fd()))
	default:
		return false
	}
}

// cursorMoves reports whether a line that is written to w can be written anew.
func cursorMoves(w io.Writer) bool { return onTerminal(w) && os.Getenv("TERM") != "dumb" }

// paint is text in a colour, or as it is where w shows none: where it is no terminal, or where the
// user does not want any (https://no-color.org).
func paint(w io.Writer, colour, text string) string {
	if text == "" || !cursorMoves(w) || os.Getenv("NO_COLOR") != "" {
		return text
	}
	return colour + text + plainAgain
}
