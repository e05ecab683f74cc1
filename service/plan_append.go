package service

import (
	"slices"
	"time"

	"github.com/topiq/topiq/fault"
)

// AppendRequest is one produce request, checked for form, with its topic resolved.
type AppendRequest struct {
	Topic    TopicID
	Producer ProducerID
	// ProdName is the name that was sent, "" when none was.
	ProdName string
	// Epoch and ExpectedOffset are nil when they were not sent, Seq is NoSeq.
	Epoch          *int64
	Seq            int64
	ExpectedOffset *Offset
	Incarnation    string
	Payloads       []Payload
	// Again says that the same request was appended before, by this broker, and that nobody knows
	// what became of it (P9). Such a request carries a seq.
	Again bool
}

// AppendResult is the answer to one AppendRequest.
type AppendResult struct {
	// Err refuses the request; nothing of it was stored and the rest is zero.
	Err *Error
	// Ranges says where each run of messages is, in the order of the request; Count is their sum.
	Ranges []Range
	Count  int
	// Duplicate is true when nothing was appended: all was stored before. What a re-run finds may be
	// what its first attempt appended, so that is never called a duplicate.
	Duplicate   bool
	Incarnation string
}

// Range is a run of messages at consecutive offsets.
type Range struct {
	Seq    int64  // of the first, or NoSeq
	Offset Offset // of the first, or −1 when these messages were trimmed
	Count  int
}

// NamedProducer is the key of a producer's name.
type NamedProducer struct {
	Topic TopicID
	Name  string
}

// SeqKey is the key of a sequenced message.
type SeqKey struct {
	NamedProducer
	Seq int64
}

// AppendState is what a group is decided on: rows read under their locks (P3 a–c).
type AppendState struct {
	// Heads are the topics that exist.
	Heads map[TopicID]Head
	// Producers are the rows of the ids that were sent; Named those of the names, sent or found in
	// Producers, that exist.
	Producers map[ProducerID]*Producer
	Named     map[NamedProducer]*Producer
	// Stored are the messages found under the seqs of Duplicates.
	Stored map[SeqKey]Message
}

// AppendPlan is what an Append has to write, and what it answers.
type AppendPlan struct {
	// Results has one entry for each request.
	Results []AppendResult
	// Topics are the heads after the group, of the topics that got messages, with these messages. A
	// re-run has all its topics here, those without a new message too: its answers, also the
	// refusals, rest on a commit, and no commit rests on nothing written (P9).
	Topics []TopicAppend
	// Producers are the named producers of all requests accepted, duplicates included: writing
	// them is what makes the answer to a duplicate durable (P4).
	Producers []ProducerAdvance
}

// TopicAppend is what one group adds to one topic.
type TopicAppend struct {
	Head     Head // after the group
	Messages []Message
}

// ProducerAdvance is the new state of a named producer. Where the row does not exist it is to be
// inserted with epoch 0, and if another has inserted it meanwhile, AddCount is added to its count.
type ProducerAdvance struct {
	NamedProducer
	NextSeq    int64
	LastOffset Offset
	AddCount   int64
	Exists     bool
}

// ProducerName returns the name a request produces under, given the row of its producer id: the
// registered name, or, for an anonymous producer and for one that is not of this topic, whichever was
// sent.
func (r *AppendRequest) ProducerName(row *Producer) string {
	if row != nil && row.Name != "" && row.Topic == r.Topic {
		return row.Name
	}
	return r.ProdName
}

// Duplicates lists the seqs of the group that lie below their producer's NextSeq: those whose
// messages Append must read before it plans (P3 c).
func (s *AppendState) Duplicates(requests []AppendRequest) []SeqKey {
	var seen map[SeqKey]bool
	var keys []SeqKey
	for i := range requests {
		r := &requests[i]
		if r.Seq == NoSeq {
			continue
		}
		key := NamedProducer{r.Topic, r.ProducerName(s.Producers[r.Producer])}
		named, ok := s.Named[key]
		if !ok {
			continue
		}
		for seq := r.Seq; seq < min(r.Seq+int64(len(r.Payloads)), named.NextSeq); seq++ {
			if k := (SeqKey{key, seq}); !seen[k] {
				if seen == nil {
					seen = map[SeqKey]bool{}
				}
				seen[k] = true
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// PlanAppend decides a group of requests one after another, each against the state that those
// before it leave (P4). It is the only place where the rules of produce stand.
func PlanAppend(requests []AppendRequest, state AppendState, now time.Time) AppendPlan {
	p := appendPlanner{
		state:  state,
		now:    now.UTC().Truncate(time.Microsecond),
		places: make(map[TopicID]int, len(state.Heads)),
		named:  make(map[NamedProducer]int, len(state.Named)),
	}
	if len(state.Heads) == 1 {
		for i := range requests {
			p.expected += len(requests[i].Payloads)
		}
	}
	plan := AppendPlan{Results: make([]AppendResult, len(requests))}
	for i := range requests {
		result, refusal := p.decide(&requests[i])
		if refusal != nil {
			result = AppendResult{Err: refusal}
		}
		plan.Results[i] = result
	}
	plan.Topics, plan.Producers = p.topics, p.producers
	return plan
}

type appendPlanner struct {
	state     AppendState
	now       time.Time
	topics    []TopicAppend         // what the group has added so far
	places    map[TopicID]int       // where in topics
	expected  int                   // messages of the only topic; 0 if there are several
	producers []ProducerAdvance     // those touched so far
	named     map[NamedProducer]int // where in producers
	added     []addedRun            // sequenced messages of this group
	newest    []int                 // for each of producers its last one in added, −1 if it has none
}

// addedRun is a run of sequenced messages that the group adds for one producer.
type addedRun struct {
	seq       int64 // of the first
	at, count int   // in the new messages of its topic
	earlier   int   // the run before it of this producer in added, −1 if there is none
}

func (p *appendPlanner) decide(r *AppendRequest) (AppendResult, *Error) {
	head, ok := p.state.Heads[r.Topic]
	if !ok {
		if r.Again {
			return AppendResult{}, ErrOutcomeUnknown
		}
		return AppendResult{}, ErrTopicNotFound
	}
	if r.Again {
		if result, settled := p.decideAgain(r, head); settled {
			return result, result.Err
		}
	}
	if r.Incarnation != "" && r.Incarnation != head.Incarnation {
		return AppendResult{}, errIncarnation(head.Incarnation)
	}
	name, refusal := p.admit(r)
	if refusal != nil {
		return AppendResult{}, refusal
	}
	known, refusal := p.stored(r, name, head.First)
	if refusal != nil {
		return AppendResult{}, refusal
	}
	fresh := r.Payloads[count(known):]
	next := p.next(head)
	if len(fresh) > 0 && r.ExpectedOffset != nil && *r.ExpectedOffset != next {
		return AppendResult{}, errAppendConflict(next)
	}
	if refusal := p.room(head, fresh); refusal != nil {
		return AppendResult{}, refusal
	}
	if len(fresh) > 0 {
		known = join(known, Range{Seq: p.append(r, name, head, fresh), Offset: next, Count: len(fresh)})
	} else if name != "" && !fault.Mistake("duplicate_without_write") {
		p.touch(NamedProducer{r.Topic, name})
	}
	return AppendResult{
		Ranges: known, Count: len(r.Payloads), Duplicate: len(fresh) == 0, Incarnation: head.Incarnation,
	}, nil
}

// decideAgain comes before everything else in a re-run (P9). The first attempt has passed or will never
// pass: the lock on the head has waited for it. If all messages are there, that is the answer, even
// if the session was fenced meanwhile: a refusal would say that nothing was stored. It may have been
// an attempt before the first that stored them; the answer is true of that one as well.
//
// Where the topic has gone, or lives another life than the one that was asked for, nobody can look
// any more, and the answer stays unknown. What is not there is decided like any other request.
func (p *appendPlanner) decideAgain(r *AppendRequest, head Head) (result AppendResult, settled bool) {
	p.topic(head) // to be written, whatever is decided
	if r.Incarnation != "" && r.Incarnation != head.Incarnation {
		return AppendResult{Err: ErrOutcomeUnknown}, true
	}
	// The producer's own row may be gone: whoever has no name of its own can be unregistered.
	name := r.ProducerName(p.state.Producers[r.Producer])
	if r.ProdName != "" && r.ProdName != name {
		return AppendResult{}, false
	}
	key := NamedProducer{r.Topic, name}
	if named, ok := p.state.Named[key]; !ok || named.Epoch == 0 {
		return AppendResult{}, false
	}
	known, refusal := p.stored(r, name, head.First)
	if refusal != nil || count(known) < len(r.Payloads) {
		return AppendResult{}, false
	}
	p.touch(key)
	return AppendResult{Ranges: known, Count: len(r.Payloads), Incarnation: head.Incarnation}, true
}

// admit finds the name a request is stored under, and checks its producer and its session.
func (p *appendPlanner) admit(r *AppendRequest) (string, *Error) {
	row, ok := p.state.Producers[r.Producer]
	if !ok || row.Topic != r.Topic || (row.Name != "" && row.Epoch == 0) {
		return "", ErrProducerNotFound
	}
	if row.Name != "" && r.ProdName != "" && r.ProdName != row.Name {
		return "", Invalid("prod_name", "this producer is registered as %q", row.Name)
	}
	name := r.ProducerName(row)
	if r.Seq == NoSeq && r.Epoch == nil {
		return name, nil
	}
	if name == "" {
		return "", Invalid("prod_name", "seq and epoch belong to a named producer")
	}
	named, ok := p.state.Named[NamedProducer{r.Topic, name}]
	if !ok || named.Epoch == 0 {
		return "", ErrProducerNotFound
	}
	switch {
	case r.Epoch == nil || fault.Mistake("epoch_not_checked"):
	case *r.Epoch < named.Epoch:
		return "", errProducerFenced(named.Epoch)
	case *r.Epoch > named.Epoch:
		return "", errUnknownEpoch(named.Epoch)
	}
	return name, nil
}

// stored returns where those messages of the request are that were stored before.
func (p *appendPlanner) stored(r *AppendRequest, name string, first Offset) ([]Range, *Error) {
	if r.Seq == NoSeq || fault.Mistake("no_dedupe") {
		return nil, nil
	}
	key := NamedProducer{r.Topic, name}
	nextSeq := p.producer(key).NextSeq
	if r.Seq > nextSeq {
		return nil, errSeqGap(nextSeq)
	}
	var known []Range
	for i := range r.Payloads {
		seq := r.Seq + int64(i)
		if seq >= nextSeq {
			break
		}
		m := p.addedMessage(key, seq)
		if m == nil {
			if found, ok := p.state.Stored[SeqKey{key, seq}]; ok {
				m = &found
			}
		}
		if m == nil || m.Offset < first {
			known = join(known, Range{Seq: seq, Offset: -1, Count: 1})
			continue
		}
		if !m.Same(&r.Payloads[i]) {
			return nil, errSeqReused(seq)
		}
		known = join(known, Range{Seq: seq, Offset: m.Offset, Count: 1})
	}
	return known, nil
}

// room refuses new messages that the quota of their topic has no room for. What is stored already takes none: a
// repeat gets its answer however full the topic is.
func (p *appendPlanner) room(head Head, fresh []Payload) *Error {
	most := head.Quota.StoredBytes
	if most == 0 || len(fresh) == 0 {
		return nil
	}
	bytes := head.Bytes
	if i, ok := p.places[head.ID]; ok {
		bytes = p.topics[i].Head.Bytes
	}
	for i := range fresh {
		bytes += fresh[i].Size()
	}
	if bytes <= most {
		return nil
	}
	return errQuota(QuotaTopicStoredBytes, roomAfter)
}

// append adds messages to the group and returns the seq of the first.
func (p *appendPlanner) append(r *AppendRequest, name string, head Head, fresh []Payload) int64 {
	t := p.topic(head)
	t.Head.LastAppend = latest(t.Head.LastAppend, p.now)
	key := NamedProducer{r.Topic, name}
	seq, firstSeq := NoSeq, NoSeq
	if r.Seq != NoSeq {
		seq = r.Seq + int64(len(r.Payloads)-len(fresh))
		firstSeq = seq
	}
	run := addedRun{seq: seq, at: len(t.Messages), count: len(fresh)}
	for i := range fresh {
		m := Message{Payload: fresh[i], Offset: t.Head.Next, ProdName: name, Seq: seq, CreatedAt: t.Head.LastAppend}
		if fault.Mistake("no_dedupe") {
			m.Seq = NoSeq // which the unique index lets pass
		}
		t.Messages = append(t.Messages, m)
		t.Head.Next++
		t.Head.Bytes += m.Size()
		if seq != NoSeq {
			seq++
		}
	}
	if name != "" {
		i := p.touch(key)
		advance := &p.producers[i]
		advance.AddCount += int64(len(fresh))
		if r.Seq != NoSeq {
			advance.NextSeq, advance.LastOffset = seq, t.Head.Next-1
			run.earlier, p.newest[i] = p.newest[i], len(p.added)
			p.added = append(p.added, run)
		}
	}
	return firstSeq
}

// addedMessage is what the group has added under a seq so far, nil if nothing.
func (p *appendPlanner) addedMessage(key NamedProducer, seq int64) *Message {
	producer, ok := p.named[key]
	if !ok {
		return nil
	}
	for i := p.newest[producer]; i >= 0; i = p.added[i].earlier {
		if run := &p.added[i]; seq >= run.seq && seq < run.seq+int64(run.count) {
			return &p.topics[p.places[key.Topic]].Messages[run.at+int(seq-run.seq)]
		}
	}
	return nil
}

// topic returns the entry of a topic in the plan, made if it is not there yet. It is where it is only
// until the next one is made.
func (p *appendPlanner) topic(head Head) *TopicAppend {
	i, ok := p.places[head.ID]
	if !ok {
		i = len(p.topics)
		p.topics = append(p.topics, TopicAppend{Head: head, Messages: make([]Message, 0, p.expected)})
		p.places[head.ID] = i
	}
	return &p.topics[i]
}

func (p *appendPlanner) next(head Head) Offset {
	if i, ok := p.places[head.ID]; ok {
		return p.topics[i].Head.Next
	}
	return head.Next
}

// producer is a named producer as those requests leave it that were decided so far.
func (p *appendPlanner) producer(key NamedProducer) ProducerAdvance {
	if i, ok := p.named[key]; ok {
		return p.producers[i]
	}
	row, ok := p.state.Named[key]
	if !ok {
		return ProducerAdvance{NamedProducer: key, LastOffset: -1}
	}
	return ProducerAdvance{NamedProducer: key, NextSeq: row.NextSeq, LastOffset: row.LastOffset, Exists: true}
}

// touch returns where the entry of a producer in the plan is, made if it is not there yet.
func (p *appendPlanner) touch(key NamedProducer) int {
	i, ok := p.named[key]
	if !ok {
		i = len(p.producers)
		p.producers = append(p.producers, p.producer(key))
		p.newest = append(p.newest, -1)
		p.named[key] = i
	}
	return i
}

// join appends a run of messages, as part of the last one where it follows on from it.
func join(ranges []Range, r Range) []Range {
	if n := len(ranges); n > 0 {
		last := &ranges[n-1]
		follows := r.Offset == last.Offset+Offset(last.Count)
		if last.Offset < 0 {
			follows = r.Offset < 0
		}
		if follows {
			last.Count += r.Count
			return ranges
		}
	}
	return append(ranges, r)
}

func count(ranges []Range) int {
	n := 0
	for _, r := range ranges {
		n += r.Count
	}
	return n
}

func latest(a, b time.Time) time.Time {
	return slices.MaxFunc([]time.Time{a, b}, time.Time.Compare)
}
