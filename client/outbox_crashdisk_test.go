package client

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

var errCrashed = errors.New("the machine is off")

// crashDisk is a disk of a machine that ends at a chosen step. Files have what is in the memory of the operating
// system and what is on the platter, and so have their names.
type crashDisk struct {
	t       *testing.T
	mu      sync.Mutex
	random  *rand.Rand
	names   map[string]*crashInode
	durable map[string]*crashInode // the names that survive a loss of power
	locked  map[string]bool
	step    int // taken
	last    int // the one in which the machine ends; 0 for never
	off     chan struct{}
	kept    map[string]bool // the messages that were synced under the name of the outbox
}

type crashInode struct{ data, synced []byte }

const crashPath = "outbox"

func newCrashDisk(t *testing.T, random *rand.Rand, last int) *crashDisk {
	t.Helper()
	return &crashDisk{
		t: t, random: random, last: last, names: map[string]*crashInode{}, durable: map[string]*crashInode{},
		locked: map[string]bool{}, off: make(chan struct{}), kept: map[string]bool{},
	}
}

// next begins a step. The one in which the machine ends is told with done = false and an error.
func (d *crashDisk) next() (done bool, err error) {
	select {
	case <-d.off:
		return true, errCrashed
	default:
	}
	if d.step++; d.step == d.last {
		close(d.off)
		return false, errCrashed
	}
	return false, nil
}

// tick is a step of something else than the disk.
func (d *crashDisk) tick() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.next()
	return err
}

func (d *crashDisk) lock(path string) (func() error, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.next(); err != nil {
		return nil, err
	}
	if d.locked[path] {
		return nil, ErrOutboxBusy
	}
	d.locked[path] = true
	return func() error {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.locked[path] = false
		return nil
	}, nil
}

func (d *crashDisk) read(path string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.next(); err != nil {
		return nil, err
	}
	if f := d.names[path]; f != nil {
		return bytes.Clone(f.data), nil
	}
	return nil, fs.ErrNotExist
}

func (d *crashDisk) create(path string) (outboxFile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.next(); err != nil {
		return nil, err
	}
	d.names[path] = &crashInode{}
	return &crashFile{d, d.names[path]}, nil
}

func (d *crashDisk) open(path string) (outboxFile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.next(); err != nil {
		return nil, err
	}
	return &crashFile{d, d.names[path]}, nil
}

func (d *crashDisk) rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	done, err := d.next()
	if done || err != nil && d.random.IntN(2) == 0 {
		return err
	}
	d.names[to] = d.names[from]
	delete(d.names, from)
	return err
}

func (d *crashDisk) syncDir(string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	done, err := d.next()
	if !done && (err == nil || d.random.IntN(2) == 0) {
		d.durable = maps.Clone(d.names)
	}
	return err
}

type crashFile struct {
	d *crashDisk
	i *crashInode
}

func (f *crashFile) Write(b []byte) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	done, err := f.d.next()
	n := len(b)
	switch {
	case done:
		n = 0
	case err != nil:
		n = f.d.random.IntN(len(b) + 1)
	}
	f.i.data = append(f.i.data, b[:n]...)
	return n, err
}

func (f *crashFile) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	done, err := f.d.next()
	if done || err != nil && f.d.random.IntN(2) == 0 {
		return err
	}
	f.i.synced = bytes.Clone(f.i.data)
	if f.d.names[crashPath] == f.i {
		f.d.note()
	}
	return err
}

func (f *crashFile) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	_, err := f.d.next()
	if err == nil {
		f.i.data = f.i.data[:size:size]
	}
	return err
}

func (f *crashFile) Close() error { return nil }

// note adds the messages that wait in the outbox to those that must be stored in the end.
func (d *crashDisk) note() {
	s, err := replayOutbox(d.names[crashPath].data)
	if err != nil {
		d.t.Errorf("a file that was just written: %v", err)
	}
	for _, m := range s.pending {
		if text := textOf(m.raw); !strings.HasPrefix(text, "bad") {
			d.kept[text] = true
		}
	}
}

// textOf is the text of a member of a request.
func textOf(raw []byte) string {
	_, text, _ := strings.Cut(string(raw), `"message":"`)
	text, _, _ = strings.Cut(text, `"`)
	return text
}

// reboot is the disk after the end: as it was if only the process was killed, or with a loss of power with what was
// synced and a random part of the rest, block by block.
func (d *crashDisk) reboot(power bool, last int) *crashDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := newCrashDisk(d.t, d.random, last)
	next.kept = d.kept
	names := d.names
	if power && d.random.IntN(2) == 0 {
		names = d.durable
	}
	for name, f := range names {
		data := bytes.Clone(f.data)
		if power {
			data = f.torn(d.random)
		}
		next.names[name] = &crashInode{data: data, synced: bytes.Clone(data)}
	}
	next.durable = maps.Clone(next.names)
	if !power && next.names[crashPath] != nil {
		next.note()
	}
	return next
}

func (f *crashInode) torn(random *rand.Rand) []byte {
	if len(f.data) <= len(f.synced) {
		return bytes.Clone(f.synced)
	}
	tail := slices.Clone(f.data[len(f.synced):])
	tail = tail[:random.IntN(len(tail)+1)]
	const block = 32
	for i := 0; i < len(tail); i += block {
		if random.IntN(3) == 0 {
			clear(tail[i:min(i+block, len(tail))])
		}
	}
	return append(bytes.Clone(f.synced), tail...)
}
