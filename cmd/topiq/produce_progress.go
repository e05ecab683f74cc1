package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows how much of a file is stored. A nil one shows nothing.
type progress struct {
	bar  *progressbar.ProgressBar
	left int64 // bytes until the file is done
}

// newProgress shows the progress of a file where somebody looks at w, and returns nil elsewhere.
func newProgress(w io.Writer, file *os.File) *progress {
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 || !cursorMoves(w) {
		return nil
	}
	return &progress{left: info.Size(), bar: progressbar.NewOptions64(info.Size(),
		progressbar.OptionSetWriter(w), progressbar.OptionShowBytes(true), progressbar.OptionUseIECUnits(true),
		progressbar.OptionSetWidth(30), progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish())}
}

// add notes that so many bytes more are stored. A file may be longer by now than it was, and its last
// line may have no newline.
func (p *progress) add(bytes int) {
	if p == nil {
		return
	}
	n := min(int64(bytes), p.left)
	p.left -= n
	_ = p.bar.Add64(n) // there is nobody to tell that the bar cannot be shown
}

// end takes the bar away, so that what is written next begins on an empty line.
func (p *progress) end() {
	if p != nil && p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}
