//go:build faults

package fault

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"
)

// clockFile is the variable with the name of the file.
const clockFile = "TOPIQ_CLOCK_FILE"

// clockReread is how long an offset that was read is good for.
const clockReread = 50 * time.Millisecond

// Clock is the broker's clock where it is told to be wrong, nil where it is that of the machine: if
// TOPIQ_CLOCK_FILE is not set. A change of the file is seen within 50 ms. While its text is no
// duration, as in the middle of a write, the last one holds.
func Clock() func() time.Time {
	path := os.Getenv(clockFile)
	if path == "" {
		return nil
	}
	c := &clock{path: path}
	return c.now
}

type clock struct {
	path string

	mu     sync.Mutex
	readAt time.Time
	offset time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.readAt.IsZero() || now.Sub(c.readAt) >= clockReread {
		c.readAt = now
		if offset, err := readOffset(c.path); err == nil {
			c.offset = offset
		}
	}
	return now.Add(c.offset)
}

func readOffset(path string) (time.Duration, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	offset, err := time.ParseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return offset, nil
}
