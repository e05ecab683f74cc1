package main

import (
	"fmt"
	"io"
	"time"
)

// benchProgress is a line that shows how a phase goes, where somebody looks at it.
type benchProgress struct {
	w       io.Writer
	title   string
	figures *liveFigures
	stop    chan struct{}
	stopped chan struct{}
}

// progressEvery is how often the line is written anew.
const progressEvery = 500 * time.Millisecond

func newBenchProgress(w io.Writer, title string) *benchProgress {
	p := &benchProgress{w: w, title: title, figures: &liveFigures{}}
	if !cursorMoves(w) {
		return p
	}
	p.stop, p.stopped = make(chan struct{}), make(chan struct{})
	go p.show()
	return p
}

func (p *benchProgress) show() {
	defer close(p.stopped)
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	var before int64
	for {
		select {
		case <-p.stop:
			_, _ = fmt.Fprint(p.w, "\r\x1b[K")
			return
		case <-ticker.C:
			messages, failures := p.figures.read()
			_, _ = fmt.Fprint(p.w, "\r\x1b[K", progressLine(p.title, messages, messages-before, failures))
			before = messages
		}
	}
}

// progressLine is the line, after as many messages as were measured lately.
func progressLine(title string, messages, lately, failures int64) string {
	if messages == 0 && failures == 0 {
		return title + ": warming up"
	}
	line := fmt.Sprintf("%s: %s messages/s, %d messages", title, grouped(float64(lately)/progressEvery.Seconds()), messages)
	if failures > 0 {
		line += fmt.Sprintf(", %d errors", failures)
	}
	return line
}

// end takes the line away.
func (p *benchProgress) end() {
	if p.stop != nil {
		close(p.stop)
		<-p.stopped
	}
}
