package service

import (
	"sort"
	"time"
)

// MoveRequest asks to dequeue for one consumer: consume without an offset (contract section 4).
type MoveRequest struct {
	Topic       TopicID
	Consumer    ConsumerID
	Incarnation string
	Limit       int
	MaxBytes    int64
	// Pending is this broker's lazy commit for the consumer, applied first; nil for none.
	Pending *OffsetCommit
}

// MoveResult is the answer to one MoveRequest.
type MoveResult struct {
	// Err refuses the request; the consumer did not move.
	Err *Error
	// Messages are those dequeued; none when there is nothing there.
	Messages []Message
	// Consumer is its row after the move, Head the topic's as it was read.
	Consumer Consumer
	Head     Head
}

// MoveState is what a group of moves is decided on: the consumers under their locks, and heads
// read after that.
type MoveState struct {
	Consumers map[ConsumerID]Consumer
	Heads     map[TopicID]Head
}

// MovePlan is what a Move has to write, and what it answers.
type MovePlan struct {
	Results []MoveResult
	// Changed are the consumers whose Offset moved.
	Changed []Consumer
}

// PlanMoves decides a group of moves one after another, so that several callers on one consumer
// get different messages. read must see what the heads show; an error of it fails the group.
func PlanMoves(requests []MoveRequest, state MoveState, read ReadFunc, now time.Time) (MovePlan, error) {
	if err := CheckDatabase(state.Heads); err != nil {
		return MovePlan{}, err
	}
	plan := MovePlan{Results: make([]MoveResult, len(requests))}
	consumers := make(map[ConsumerID]Consumer, len(state.Consumers))
	var order []ConsumerID
	for i := range requests {
		r := &requests[i]
		row, touched := consumers[r.Consumer]
		if !touched {
			row = state.Consumers[r.Consumer]
		}
		result, err := move(r, row, state, read)
		if err != nil {
			return MovePlan{}, err
		}
		if result.Err == nil && result.Consumer.Offset != row.Offset {
			if !touched {
				order = append(order, r.Consumer)
			}
			result.Consumer.LastSeen = now.UTC().Truncate(time.Microsecond)
			consumers[r.Consumer] = result.Consumer
		}
		plan.Results[i] = result
	}
	for _, id := range order {
		plan.Changed = append(plan.Changed, consumers[id])
	}
	return plan, nil
}

func move(r *MoveRequest, row Consumer, state MoveState, read ReadFunc) (MoveResult, error) {
	head, ok := state.Heads[r.Topic]
	if !ok {
		return MoveResult{Err: ErrTopicNotFound}, nil
	}
	if r.Incarnation != "" && r.Incarnation != head.Incarnation {
		return MoveResult{Err: errIncarnation(head.Incarnation)}, nil
	}
	if row.ID != r.Consumer || row.Topic != r.Topic {
		return MoveResult{Err: ErrConsumerNotFound}, nil
	}
	row = row.ApplyUnder(head.Incarnation, r.Pending)
	if refusal := CheckOffset(row.Offset, head); refusal != nil {
		return MoveResult{Err: refusal}, nil //nolint:nilerr // a refusal is a result: the group goes on
	}
	result := MoveResult{Consumer: row, Head: head}
	limit := min(r.Limit, int(head.Next-row.Offset))
	if limit == 0 {
		return result, nil
	}
	messages, err := read(r.Topic, head.Incarnation, row.Offset, limit, r.MaxBytes)
	if err != nil {
		return MoveResult{}, err
	}
	if err := CheckRun(messages, row.Offset, limit); err != nil {
		return MoveResult{}, err
	}
	result.Messages = messages
	result.Consumer.Offset += Offset(len(messages))
	return result, nil
}

// Apply returns the consumer as a pending lazy commit leaves it: forward only, and only while no
// seek has happened that the commit does not know of.
func (c Consumer) Apply(pending *OffsetCommit) Consumer {
	if pending != nil && pending.SeekNo == c.SeekNo && pending.Offset > c.Offset {
		c.Offset = pending.Offset
	}
	return c
}

// of reports whether a commit belongs to the history of an incarnation.
func (c *OffsetCommit) of(incarnation string) bool {
	return c != nil && (c.Incarnation == "" || c.Incarnation == incarnation)
}

// ApplyUnder is Apply for a commit that is void in another incarnation than its own.
func (c Consumer) ApplyUnder(incarnation string, pending *OffsetCommit) Consumer {
	if !pending.of(incarnation) {
		return c
	}
	return c.Apply(pending)
}

// CheckOffset refuses a position that has been trimmed or lies beyond the end (P11).
func CheckOffset(offset Offset, head Head) *Error {
	switch {
	case offset < head.First:
		return errOffsetTrimmed(head.First)
	case offset > head.Next:
		return errOutOfRange(head.Next)
	}
	return nil
}

// CheckRun checks what must hold after every read that found its head: between 1 and limit
// messages, at from, from+1, … (invariant: dense offsets). A violation is ErrInternal.
func CheckRun(messages []Message, from Offset, limit int) error {
	if len(messages) == 0 || len(messages) > limit {
		return ErrInternal.Because(&holeError{from, len(messages)})
	}
	for i := range messages {
		if messages[i].Offset != from+Offset(i) {
			return ErrInternal.Because(&holeError{from + Offset(i), len(messages)})
		}
	}
	return nil
}

// SeekRequest sets a consumer's position.
type SeekRequest struct {
	Consumer ConsumerID
	// Topic must be the consumer's, or 0 for whichever it is.
	Topic TopicID
	// Offset is the new position; −1 is the first offset that can be read.
	Offset Offset
}

// PlanSeek decides a set_offset on the consumer as read under its lock, and its topic's head.
func PlanSeek(r SeekRequest, row Consumer, head Head, now time.Time) (Consumer, error) {
	if row.ID != r.Consumer || (r.Topic != 0 && row.Topic != r.Topic) {
		return Consumer{}, ErrConsumerNotFound
	}
	if err := CheckOwn(head); err != nil {
		return Consumer{}, err
	}
	offset := r.Offset
	if offset == -1 {
		offset = head.First
	}
	if err := CheckOffset(offset, head); err != nil {
		return Consumer{}, err
	}
	row.Offset = offset
	row.SeekNo++
	row.LastSeen = now.UTC().Truncate(time.Microsecond)
	return row, nil
}

// Start says where a new consumer begins: at an Offset, or at one of the two below.
type Start Offset

// The named starts.
const (
	FromBeginning Start = -1
	FromEnd       Start = -2
)

// PlanStart returns the position of a new consumer.
func PlanStart(from Start, head Head) (Offset, error) {
	switch from {
	case FromBeginning:
		return head.First, nil
	case FromEnd:
		return head.Next, nil
	}
	if err := CheckOffset(Offset(from), head); err != nil {
		return 0, err
	}
	return Offset(from), nil
}

// SearchTime finds the first offset in first … next−1 whose message was stored at or after t, or
// next, by binary search: CreatedAt never decreases with the offset. createdAt answers the zero
// time for a message that was trimmed meanwhile.
func SearchTime(first, next Offset, t time.Time, createdAt func(Offset) (time.Time, error)) (Offset, error) {
	var failed error
	n := sort.Search(int(next-first), func(i int) bool {
		if failed != nil {
			return true
		}
		at, err := createdAt(first + Offset(i))
		if err != nil {
			failed = err
			return true
		}
		return !at.Before(t)
	})
	return first + Offset(n), failed
}
