package client

import "fmt"

// outboxSlack is how many bytes of a file may be of no use before it is written anew. As many as are needed may be,
// too, so that this does not happen all the time while many are.
const outboxSlack = 4 << 20

// rewrite makes the file anew with what is needed of it (steps 4 to 6).
func (o *outbox) rewrite() error {
	if o.failed != nil {
		return o.failed
	}
	o.header.NextSeq = o.next
	raw, err := o.header.encode()
	if err != nil {
		return o.fail("encode", err)
	}
	b := appendRecord(nil, recordHeader, raw)
	o.live = 0
	for _, m := range o.pending {
		b = appendRecord(b, recordMessage, number(m.seq), m.raw)
		o.live += messageRecordSize(m.raw)
	}
	// It is true once the file has its name, for then it was synced.
	b = appendRecord(b, recordSynced, number(int64(len(b))))
	if err := o.replace(b); err != nil {
		return o.fail("write", err)
	}
	o.size = int64(len(b))
	return nil
}

func (o *outbox) replace(content []byte) error {
	if old := o.file; old != nil {
		o.file = nil
		if err := old.Close(); err != nil {
			return err
		}
	}
	f, err := o.disk.create(o.path + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = o.disk.rename(o.path+".new", o.path)
	}
	if err == nil {
		err = o.disk.syncDir(o.path)
	}
	if err != nil {
		return err
	}
	o.file, err = o.disk.open(o.path)
	return err
}

// keep appends messages, the first of which has the given seq, and syncs them (steps 8 to 10). If it fails, they
// are certainly not in the file, or the error matches ErrOutcomeUnknown; the outbox is of no use any more.
func (o *outbox) keep(seq int64, raws [][]byte) error {
	if o.failed != nil {
		return o.failed
	}
	var b []byte
	for i, raw := range raws {
		b = appendRecord(b, recordMessage, number(seq+int64(i)), raw)
	}
	before := o.size
	if err := o.write(b); err != nil {
		// Not synced and not sent. Cut it off, so that the next life does not send it either.
		if o.file.Truncate(before) != nil || o.file.Sync() != nil {
			err = doubtful("write to the outbox", err)
		}
		return err
	}
	if err := o.sync(); err != nil {
		return doubtful("write to the outbox", err)
	}
	if len(o.pending) == 0 {
		o.next = seq
	}
	for i, raw := range raws {
		o.pending = append(o.pending, keptMessage{seq: seq + int64(i), raw: raw})
	}
	o.live += int64(len(b))
	return nil
}

// stored notes that all messages below seq are stored (step 13). It needs no sync: if the note is lost, the broker
// says so again.
func (o *outbox) stored(seq int64) error {
	if o.failed != nil {
		return o.failed
	}
	o.drop(seq)
	if o.next >= o.covered {
		o.header.Epoch = o.session // they have been compared
	}
	if o.size-o.live > o.slack+o.live {
		return o.rewrite()
	}
	return o.write(appendRecord(nil, recordStored, number(seq)))
}

// refused notes that a message will never be stored (step 14). Until it returns nil, those behind it must not be
// sent.
func (o *outbox) refused(seq int64) error {
	if o.failed != nil {
		return o.failed
	}
	if err := o.write(appendRecord(nil, recordRefused, number(seq))); err != nil {
		return err
	}
	if i := seq - o.pending[0].seq; i >= 0 && i < int64(len(o.pending)) {
		o.live -= messageRecordSize(o.pending[i].raw)
	}
	o.remove(seq)
	return o.sync()
}

func (o *outbox) write(b []byte) error {
	n, err := o.file.Write(b)
	o.size += int64(n)
	if err != nil {
		return o.fail("write", err)
	}
	return nil
}

// sync makes durable what was written, and notes it.
func (o *outbox) sync() error {
	if err := o.file.Sync(); err != nil {
		return o.fail("sync", err)
	}
	return o.write(appendRecord(nil, recordSynced, number(o.size)))
}

// fail ends the use of the outbox.
func (o *outbox) fail(what string, err error) error {
	o.failed = fmt.Errorf("topiq: outbox %s: %s: %w", o.path, what, err)
	return o.failed
}
