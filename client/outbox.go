package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/topiq/topiq/gen/wire"
)

// The outbox of a producer: a file that has each message from before its first send until it is known to be
// stored, so that a message outlives the process that sends it.
//
// What is done to the file, step by step, and what the next life of the producer finds if the process is killed or
// the power fails there:
//
//	 1 lock path.lock                 Nothing has changed. The lock ends with the process.
//	 2 read the file                  Nothing has changed.
//	 3 register                       Nobody has noted the new session. The next one finds a session between that of
//	                                  the file and its own, and compares what it has with what is stored (below).
//	 4 write path.new, sync           The file is as it was; path.new is written over.
//	 5 rename path.new to path        The file is the old or the new one, and both say the same.
//	 6 sync the directory             As before. Nothing is written to the new file until this is done: after a loss
//	                                  of power the directory could name the old one again.
//	 7 send what the file has         As after 12: it is sent again, under the same seq.
//	 8 append records of a batch      A tail that is torn: it is cut off. Nothing of it was sent, and no Send has
//	                                  returned. If the tail is whole, its messages are sent; their Sends did not say
//	                                  that they would not be.
//	 9 sync                           The same.
//	10 append "synced up to here"     The batch is there and is sent. Without this record nobody could tell damage of
//	                                  the batch from a torn tail; a killed process leaves it whole.
//	11 send the batch                 The batch is sent again, under the same seq: the broker stores it once (P4).
//	12 the batch is answered          The same: it is answered as a duplicate, or next_seq covers it.
//	13 append "stored below seq"      Nothing is left to do. If the record is lost, as after 12.
//	14 a message is refused: append   The same as after 11; the message is refused again. Messages behind it move up
//	   "refused", sync                by one seq, and none is sent under its new seq before the file says so: else
//	                                  the next life would send it under its old one, where the broker has another.
//	15 the file has grown: 4 to 6     As there.
//
// A next_seq that covers a message of the file says that it is stored if nobody else has used the name since: the
// session of the file is the one just before. If not (another process took over, or this is an old copy of the
// file), what is covered is sent once more before anything else. The broker answers with where it is, or says that
// somebody else's message has its seq (seq_reused); then the producer stops, and the messages stay in the file.
//
// An error of the disk ends the producer (I21). What a failed sync has left on the disk nobody knows.
type outbox struct {
	disk   outboxDisk
	path   string
	unlock func() error
	file   outboxFile
	size   int64 // of the file
	live   int64 // bytes of it that are needed
	slack  int64 // bytes of it that may be of no use, beside as many as are needed

	outboxState
	exists  bool
	session int64 // of this life; the header has the session that its messages are known to belong to
	covered int64 // below it, messages of the file are compared with what is stored
	failed  error // of the disk
}

// outboxState is what a file says.
type outboxState struct {
	header  outboxHeader
	next    int64         // the seq of the first message below, or of the next one; all before are stored
	pending []keptMessage // not known to be stored; their seq follow each other
}

// outboxHeader begins a file.
type outboxHeader struct {
	Topic       string `json:"topic"`
	ProdName    string `json:"prod_name"`
	Incarnation string `json:"incarnation"`
	Epoch       int64  `json:"epoch"`
	NextSeq     int64  `json:"next_seq"`
}

// keptMessage is a message of a file, as it goes into a request: kind, bytes and headers.
type keptMessage struct {
	seq int64
	raw []byte
}

// openOutbox locks and reads a file, or finds that there is none. It changes nothing yet.
func openOutbox(disk outboxDisk, path, topic, name string) (_ *outbox, err error) {
	o := &outbox{disk: disk, path: path}
	if o.unlock, err = disk.lock(path + ".lock"); err != nil {
		return nil, fmt.Errorf("topiq: outbox %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = o.unlock()
		}
	}()
	raw, err := disk.read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err == nil {
		o.outboxState, err = replayOutbox(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("topiq: outbox %s: %w", path, err)
	}
	if o.header.Topic != topic || o.header.ProdName != name {
		return nil, invalid("Outbox", "%s is that of the producer %s of topic %s", path, o.header.ProdName, o.header.Topic)
	}
	o.exists = true
	return o, nil
}

// adopt makes the file that of the session that r opened, and drops what is stored.
func (o *outbox) adopt(topic, name string, r *wire.RegisterProducerResult) error {
	o.session = *r.Epoch
	header := outboxHeader{Topic: topic, ProdName: name, Incarnation: r.Incarnation, Epoch: *r.Epoch}
	sameHistory := o.exists && o.header.Incarnation == r.Incarnation
	switch {
	case o.exists && !sameHistory && len(o.pending) > 0:
		return &Error{
			Op: "open outbox", Code: string(wire.FailureCodeIncarnationChanged), Incarnation: r.Incarnation,
			Message: fmt.Sprintf("%d messages in %s belong to another history of the topic, and stay there", len(o.pending), o.path),
		}
	case !sameHistory:
		o.outboxState = outboxState{header: header, next: *r.NextSeq}
	case *r.NextSeq < o.next:
		return &Error{
			Op: "open outbox", Code: string(wire.FailureCodeSeqGap), ExpectedSeq: r.NextSeq,
			Message: fmt.Sprintf("the broker has %d messages of this producer, but had %d: the topic has lost some", *r.NextSeq, o.next),
		}
	case *r.Epoch == o.header.Epoch+1:
		o.drop(*r.NextSeq)
		o.header = header
	case len(o.pending) > 0 && o.pending[0].seq < *r.NextSeq:
		o.covered = *r.NextSeq // and the header keeps its session, until they are compared
	default:
		o.drop(*r.NextSeq)
		o.header = header
	}
	return o.rewrite()
}

// drop forgets the messages below seq.
func (o *outbox) drop(seq int64) {
	n := 0
	for n < len(o.pending) && o.pending[n].seq < seq {
		o.live -= messageRecordSize(o.pending[n].raw)
		n++
	}
	clear(o.pending[:n]) // their bytes
	if o.pending = o.pending[n:]; len(o.pending) > 0 {
		o.next = o.pending[0].seq
	} else {
		o.next = max(o.next, seq)
	}
}

func (o *outbox) close() error {
	var err error
	if o.file != nil {
		err = o.file.Close()
	}
	return errors.Join(err, o.unlock())
}

func (h outboxHeader) encode() ([]byte, error) { return json.Marshal(h) }
