package main

import (
	"context"
	"errors"
)

// mistakes switches on each classic mistake and expects it to be caught.
func (p *programme) mistakes(context.Context) error { return errors.New("not there yet") }
