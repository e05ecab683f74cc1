package sqlite

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// The format of a WAL: a header of 32 bytes, then frames, each a header of 24 bytes and a page. A frame
// carries the salts of its WAL, and a checksum over all frames up to it; that of a commit says how many
// pages the database has then.
const (
	walHeaderBytes   = 32
	frameHeaderBytes = 24
	walMagic         = 0x377f0682 // and with its lowest bit set: checksums are of big-endian words
	walFormat        = 3007000
)

// checkWAL refuses a WAL in which something was changed that had been synced. SQLite itself reads a WAL up
// to the first frame whose checksum is wrong and takes that for the end, where a crash has torn what was
// being written. So one changed bit would take away, without a word, every commit from there on, though
// they were acknowledged.
//
// The two can be told apart. A commit is synced before the next transaction writes its first frame. A
// frame that goes on from the checksum of a commit before it therefore says that all up to that commit
// was on the disk: what is wrong there was changed afterwards. Only a change in the last transaction
// looks like a torn one, as does a WAL whose end was cut off.
func checkWAL(path string) error {
	path += "-wal"
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	defer func() { _ = f.Close() }()
	damaged, err := scanWAL(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return fmt.Errorf("sqlite: read %s: %w", path, err)
	}
	if damaged != "" {
		return fmt.Errorf("sqlite: %s is damaged (%s): messages that were acknowledged would be missing; "+
			"it is left as it is", path, damaged)
	}
	return nil
}

// scanWAL says what is damaged in a WAL, "" if nothing is.
func scanWAL(r io.Reader) (damaged string, err error) {
	var header [walHeaderBytes]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		// Nothing was ever committed to a WAL that has no whole header.
		return "", ignoreEnd(err)
	}
	if header == [walHeaderBytes]byte{} {
		return "", nil // made, and not written yet when the power failed
	}
	magic := binary.BigEndian.Uint32(header[:])
	w := walScan{sum: walSum{binary.BigEndian.Uint32(header[24:]), binary.BigEndian.Uint32(header[28:])}}
	copy(w.salts[:], header[16:])
	w.order = binary.LittleEndian
	if magic&1 != 0 {
		w.order = binary.BigEndian
	}
	page := binary.BigEndian.Uint32(header[8:])
	// The header is in one sector, and synced before there are frames: it is never torn.
	if magic&^1 != walMagic || binary.BigEndian.Uint32(header[4:]) != walFormat || page < 512 || page > 65536 ||
		page&(page-1) != 0 || w.add(walSum{}, header[:24]) != w.sum {
		return "its header", nil
	}
	return w.frames(r, make([]byte, frameHeaderBytes+page))
}

// walScan goes through the frames of a WAL.
type walScan struct {
	order binary.ByteOrder
	salts [8]byte
	sum   walSum // as the frame before says that it is
}

// walSum is a checksum of a WAL.
type walSum [2]uint32

func (w *walScan) frames(r io.Reader, frame []byte) (damaged string, err error) {
	wrong := 0 // the first frame that is not right, from 1
	afterCommit := false
	for n := 1; ; n++ {
		if _, err := io.ReadFull(r, frame); err != nil {
			return "", ignoreEnd(err)
		}
		ours := string(frame[8:16]) == string(w.salts[:])
		goesOn := ours && w.goesOn(frame)
		switch {
		case wrong == 0 && !goesOn:
			wrong = n
		case wrong > 0 && goesOn && afterCommit:
			return fmt.Sprintf("frame %d is not what was written, and later commits follow it", wrong), nil
		}
		// Frames of the same life of the WAL that no commit ended were rolled back; those of an earlier life
		// have other salts.
		afterCommit = ours && binary.BigEndian.Uint32(frame[4:]) != 0
		w.sum = walSum{binary.BigEndian.Uint32(frame[16:]), binary.BigEndian.Uint32(frame[20:])}
	}
}

// goesOn reports whether the checksum of a frame is right after the one before it.
func (w *walScan) goesOn(frame []byte) bool {
	sum := w.add(w.add(w.sum, frame[:8]), frame[frameHeaderBytes:])
	return sum == walSum{binary.BigEndian.Uint32(frame[16:]), binary.BigEndian.Uint32(frame[20:])}
}

// add is SQLite's checksum, of pairs of words.
func (w *walScan) add(sum walSum, b []byte) walSum {
	a, c := sum[0], sum[1]
	for ; len(b) >= 8; b = b[8:] {
		a += w.order.Uint32(b) + c
		c += w.order.Uint32(b[4:]) + a
	}
	return walSum{a, c}
}

// ignoreEnd is nil for the end of a file, in the middle of what was read or not.
func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
