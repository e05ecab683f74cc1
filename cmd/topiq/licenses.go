package main

import (
	"io"

	"github.com/topiq/topiq/gen/licenses"
)

// licensesCommand is `topiq licenses`.
type licensesCommand struct{}

// Run writes the licences.
func (licensesCommand) Run(s streams) error {
	_, err := io.WriteString(s.out, licenses.Text)
	return err
}
