// Package service is the broker: topics, producers, consumers, and the two paths, produce and
// consume. It knows neither SQL nor HTTP. It owns the vocabulary (Message, Offset, Head, …), the
// Store interface that engines implement, and every decision: an engine calls PlanAppend,
// OpenSession, PlanMoves, PlanSeek and PlanStart in the middle of its transactions.
//
// # Guarantees
//
// The row lock on a topic's head is what orders everything. The rules, cited by number in code
// and tests:
//
//   - P1: seq counts messages per topic and producer name, from 0, and never restarts.
//   - P2: a named producer opens sessions (epochs); a later one fences the earlier ones, and a late
//     copy of an old register is refused. Register and ProducerState write and commit.
//   - P3: an append locks the heads, then the producers, then looks up what was stored before,
//     then inserts, advances heads and producers, and commits: separate statements in this order.
//     Where nothing has changed since the append before, the locks are those of the statements that
//     advance, which change only rows that are as that append has left them.
//   - P4: requests of a group are decided one after another; a repeated seq gets its original
//     offsets, from a transaction that writes and commits.
//   - P5: there is no window: a seq is remembered as long as its message, a next_seq as long as
//     its topic. A unique index makes a duplicate impossible even if the code is wrong.
//   - P6: a message without seq is at-least-once.
//   - P7: group commit in lanes: requests that arrive while one commit is in flight form the next
//     group. Nobody is answered before the commit returned. The queue is bounded.
//   - P8: a commit counts only if the store is certain of it: it answered, and it warned of nothing.
//   - P9: what is not certain is found out, never guessed: the same input is run once more on another
//     connection, under the locks that wait for the first attempt, and what is there is acknowledged,
//     what is not is stored. What cannot be found out is answered as outcome_unknown.
//   - P10: a fenced producer stops.
//   - P11: reads move nothing but consume without an offset. An offset that was trimmed or lies
//     beyond the end is refused, never moved in silence.
//   - P12: whatever says "this is the end" or "this does not exist" rests on rows read after the
//     request arrived. A long poll, or a stream, holds nothing of the store while it waits.
//   - P13: an incarnation tells lives of a topic's history apart. A topic of another database, restored
//     or failed over, gets a new one first.
//   - P14: no rule uses the wall clock, except looking up a time.
//
// # Reading order
//
// message.go, errors.go, store.go; then produce: produce.go, committer.go, lanes.go, resolve.go,
// plan_append.go; then consume: consume.go, mover.go, plan_move.go, read.go, stream.go, topic.go, tail.go.
// audit.go checks a store from outside these paths.
package service
