package service

import (
	"context"
	"errors"
	"time"
)

// Store is what the broker needs of an engine: durable state and units of work on it. Every
// method is atomic and either committed before it returns nil, or had no effect, or answers
// ErrOutcomeUnknown. Expected refusals are *Error values; anything else an engine reports is
// wrapped in one of
//
//   - ErrUnavailable: nothing was committed; the same call may be tried again
//   - ErrStorageFull: nothing was committed, and nothing will be until there is room
//   - ErrOutcomeUnknown: COMMIT was sent and no trustworthy answer came (P8)
//   - ErrInternal with ErrBadData in its chain: nothing was committed, for the database refused the
//     data itself (SQLSTATE classes 22, 23)
//   - ErrInternal: nothing was committed, for what is stored contradicts itself
//
// An engine makes no decision of its own: in the middle of its transactions it calls CheckDatabase,
// PlanAppend, OpenSession, PlanMoves, PlanSeek, PlanStart, so that the rules stand in one place for
// all engines. Methods that decide on a topic or answer what a client may rely on (those on
// producers by topic, RegisterConsumer, UnregisterConsumer, Append, Move, Seek, CommitOffsets) do
// nothing for a foreign topic and answer the error of CheckDatabase until it was renewed (P13). A context that ends makes a call return early where that is harmless; it never cancels
// a COMMIT that was begun. Methods are safe for concurrent use.
type Store interface {
	TopicStore
	ProducerStore
	MessageStore
	ConsumerStore
	RetentionStore
	TokenStore

	// Properties describes the engine. They never change while the store is open.
	Properties() Properties
	// Watch calls appended with the names of topics that another broker may have appended to, until
	// ctx ends. It is a hint and no more (P12): it may come late, or for nothing, or never, and an
	// engine that has no way to learn of it just waits for ctx, or returns at once. appended must not
	// block.
	Watch(ctx context.Context, appended func(TopicName))
	// Ping answers nil when the store can be read and written now.
	Ping(ctx context.Context) error
	// Close releases everything. No other call may be under way.
	Close() error
}

// Properties are what the broker must know of an engine, each a fact with a meaning of its own.
type Properties struct {
	// Engine is its name for people: memory, sqlite or postgres.
	Engine string
	// Durability is what an acknowledged message survives.
	Durability Durability
	// Lanes is how many groups may be committing at a time (P7). At least 1, at most Buckets.
	Lanes int
	// GroupBytes is how much one group of appends may weigh, 0 for the broker's own bound. A single
	// request that weighs more is a group by itself.
	GroupBytes int64
	// Shared says that other brokers may write to the same store: then long polls must be woken for
	// what is committed elsewhere (P12).
	Shared bool
	// Unsafe lists the settings that weaken Durability, empty when there are none.
	Unsafe []string
}

// Durability is the class of an acknowledgement.
type Durability string

// The durability classes: lost with the process; on disk of one machine; on two machines.
const (
	DurabilityMemory     Durability = "memory"
	DurabilityFsync      Durability = "fsync"
	DurabilityReplicated Durability = "replicated"
)

// ErrBadData is in the chain of an ErrInternal when the database refused the data itself. Only
// then is a group split into single requests (P7).
var ErrBadData = errors.New("the store refused the data")

// ErrStopped is in the chain of an ErrUnavailable when the store writes nothing any more until it is
// opened anew. To wait for it is useless.
var ErrStopped = errors.New("writing has stopped")

// TopicStore keeps topics and their heads.
type TopicStore interface {
	// CreateTopic creates a topic that starts at offset 0. ErrTopicExists when there is one;
	// ErrRateLimited where its Maker has made as many as it may (CheckRoom).
	CreateTopic(ctx context.Context, topic NewTopic) (Head, error)
	// Heads reads the heads of those of the named topics that exist, in any order. It sees every
	// commit acknowledged, by any broker, before it was called.
	Heads(ctx context.Context, names []TopicName) ([]Head, error)
	// Changed answers which of these heads are not as they were seen: the names of topics that have another next
	// offset or another incarnation, belong to another database (P13), or are not there, in any order. Of a head only
	// ID, Name, Incarnation and Next count. It sees what Heads sees, and costs less where nearly all are the same.
	Changed(ctx context.Context, seen []Head) ([]TopicName, error)
	// ListTopics lists names in byte order that start with prefix and come after after ("" =
	// from the first), at most limit.
	ListTopics(ctx context.Context, prefix string, after TopicName, limit int) ([]TopicName, error)
	// TopicName reads the name of a topic. ErrTopicNotFound.
	TopicName(ctx context.Context, topic TopicID) (TopicName, error)
	// CountClients counts the registered producers and consumers of a topic. A name that messages
	// were stored under but that never opened a session (epoch 0) is not registered.
	CountClients(ctx context.Context, topic TopicID) (producers, consumers int64, err error)
	// DeleteTopic removes a topic and its head and notes its id for Sweep, in one small
	// transaction. From then on nothing of it can be reached. ErrTopicNotFound.
	DeleteTopic(ctx context.Context, name TopicName, at time.Time) error
	// NewIncarnation gives a topic another incarnation, under the lock of its head, and returns the
	// head with it. Nothing else changes, but that the topic is not foreign any more. An append that is under way comes wholly before it or
	// wholly after it, and one that names the old incarnation comes too late: that is how clients
	// learn that the history they know may not be the one that is stored (P13). To be called again
	// with the same incarnation does no harm. ErrTopicNotFound.
	NewIncarnation(ctx context.Context, name TopicName, incarnation string) (Head, error)
	// Renew gives a topic that is foreign another incarnation and the identity of this database,
	// under the lock of its head. One that is not, for example because another broker has renewed it,
	// stays as it is. It returns the head. ErrTopicNotFound.
	Renew(ctx context.Context, name TopicName, incarnation string) (Head, error)
	// SetQuota changes the quota of a topic, under the lock of its head, and returns the head with it. To
	// be called again with the same change does no harm. ErrTopicNotFound.
	SetQuota(ctx context.Context, name TopicName, change QuotaChange) (Head, error)
	// Sweep removes at most about limit rows that deleted topics or Trim left behind, in one small
	// transaction that blocks no produce. It returns how many; 0 means that nothing is left.
	Sweep(ctx context.Context, limit int) (int, error)
}

// NewTopic is a topic to create.
type NewTopic struct {
	Name        TopicName
	Incarnation string
	At          time.Time
	// Retention is what is to be kept of it.
	Retention Retention
	Quota     TopicQuota
	// Maker is by whom it is made.
	Maker Maker
}

// Head is a topic with the state that orders its appends.
type Head struct {
	ID          TopicID
	Name        TopicName
	Incarnation string
	CreatedAt   time.Time
	// First is the lowest offset that can be read; Next is where the next message goes.
	First, Next Offset
	// Bytes is the size of the messages First … Next−1 (Payload.Size).
	Bytes int64
	// Foreign says that the topic was created or last appended under another database than the one
	// it was read from (Foreign, the function).
	Foreign bool
	// LastAppend is the CreatedAt of the newest message ever stored, zero when there was none.
	LastAppend time.Time
	Quota      TopicQuota
}

// ProducerStore keeps producers and their sessions.
type ProducerStore interface {
	// RegisterProducer registers a producer (P2), creating the topic when it is missing. With a
	// name it opens a session (OpenSession) on the name's one row; without, it makes a new row of
	// epoch 0. It always writes and commits. Where one more would be registered, the quotas of the topic and
	// of the Maker are asked, exactly, however many brokers register at a time (CheckRoom); one that is
	// registered already takes no room. ErrRateLimited: neither a producer nor a topic was made.
	RegisterProducer(ctx context.Context, r ProducerRegistration) (Producer, Head, error)
	// UnregisterProducer ends the session of a named producer (CloseSession: epoch + 1, nothing
	// else is forgotten) or removes an anonymous one. ErrTopicNotFound, ErrProducerNotFound.
	UnregisterProducer(ctx context.Context, topic TopicName, id ProducerID) error
	// Producer reads a registered named producer. It writes and commits, for a client forgets
	// messages on the strength of the answer (P2). ErrTopicNotFound, ErrProducerNotFound (also for
	// a name of epoch 0).
	Producer(ctx context.Context, topic TopicName, name string) (Producer, error)
	// ListProducers lists the registered producers of a topic by id, after after, at most limit.
	ListProducers(ctx context.Context, topic TopicID, after ProducerID, limit int) ([]Producer, error)
	// CountProduced sums the messages ever stored under a name in the topics that exist, or in one
	// (ErrTopicNotFound). An unknown name has 0.
	CountProduced(ctx context.Context, name string, topic TopicName) (int64, error)
}

// ProducerRegistration asks for a producer on a topic. Name and Instance may be "".
type ProducerRegistration struct {
	Topic    NewTopic // Incarnation and Quota are used only if the topic must be created; Maker makes both
	Name     string
	Instance string
}

// Producer is the row of one producer. The row of a name exists from the first message stored
// under it; Epoch 0 with a name means that no session was ever opened.
type Producer struct {
	ID    ProducerID
	Topic TopicID
	Name  string // "" for an anonymous producer
	// Epoch is the current session, 1, 2, 3, …; NextSeq the seq expected next (P1).
	Epoch, NextSeq int64
	// LastOffset is where the message NextSeq−1 was stored; −1 when NextSeq is 0.
	LastOffset Offset
	// Count is how many messages were ever stored under the name, with or without seq.
	Count int64
	// Instance is the token that opened the current session; Fenced those that opened the last
	// eight before it, oldest first (P2).
	Instance string
	Fenced   []string
}

// MessageStore keeps the logs.
type MessageStore interface {
	// Append decides and stores a group of produce requests in one transaction in the order of
	// P3: lock the heads by (bucket, id); lock and read the producers; read what is stored under
	// the seqs of Duplicates; PlanAppend; insert; advance the heads; advance the producers; commit.
	// A topic whose head is not there is absent from AppendState, and PlanAppend refuses its
	// requests alone. Where the plan has Topics or Producers it writes and commits even if no message
	// is new: all rows of Topics and Producers, changed or not. Requests of a re-run (Again) are
	// decided like that under the same locks, which is what makes it wait for the first attempt (P9).
	Append(ctx context.Context, requests []AppendRequest, now time.Time) (AppendPlan, error)
	// Read returns messages from, from+1, … that are stored, in order and without a hole, at most
	// limit and maxBytes (Payload.Size), but at least one if from is stored. Nothing when from is
	// the end, or lies below the first offset, or the topic is gone: the caller compares with Heads.
	Read(ctx context.Context, topic TopicID, from Offset, limit int, maxBytes int64) ([]Message, error)
	// FindTime returns the offset of the first message stored at or after t, the next offset when
	// there is none (SearchTime). ErrTopicNotFound.
	FindTime(ctx context.Context, topic TopicID, t time.Time) (Offset, error)
	// Trim makes before the first offset of a topic, in one small transaction of its own under the
	// head's lock; it never moves the floor back, nor beyond the next offset. Bytes is reduced by
	// what becomes invisible. The rows below go later, by Sweep. If it is retention that has decided it, decidedBy
	// says which: where another is set by now nothing goes, for whoever has set that was told so; and it
	// does not pass the positions of the consumers in KeepFor (PlanTrim), which cannot go back meanwhile.
	// ErrTopicNotFound.
	Trim(ctx context.Context, topic TopicID, before Offset, decidedBy ...Retention) (Head, error)
}

// ConsumerStore keeps consumers and their positions.
type ConsumerStore interface {
	// RegisterConsumer makes a consumer at PlanStart, or returns the one that has the name already,
	// unchanged. One more takes room like a producer. ErrTopicNotFound, ErrRateLimited and the refusals of
	// PlanStart.
	RegisterConsumer(ctx context.Context, r ConsumerRegistration) (Consumer, Head, error)
	// UnregisterConsumer removes a consumer and its position. ErrTopicNotFound, ErrConsumerNotFound.
	UnregisterConsumer(ctx context.Context, topic TopicName, id ConsumerID) error
	// Consumers reads those of the given consumers that exist, whose topic exists, in any order.
	Consumers(ctx context.Context, ids []ConsumerID) ([]Consumer, error)
	// FindConsumer reads a consumer by name. ErrConsumerNotFound.
	FindConsumer(ctx context.Context, topic TopicID, name string) (Consumer, error)
	// ListConsumers lists the consumers of a topic by id, after after, at most limit.
	ListConsumers(ctx context.Context, topic TopicID, after ConsumerID, limit int) ([]Consumer, error)
	// Move lets consumers dequeue (contract section 4), in one transaction: lock the consumers by
	// (bucket, id), read the heads, PlanMoves (which reads messages, from tail where it has them,
	// else from the store), write the positions that changed, commit. An engine may as well decide on rows that it knows, and
	// then have the transaction find them, and the heads after them, as they were known. It may ask tail more than once.
	Move(ctx context.Context, requests []MoveRequest, tail ReadFunc, now time.Time) ([]MoveResult, error)
	// Seek sets a position under the consumer's lock (PlanSeek): SeekNo + 1. ErrConsumerNotFound.
	Seek(ctx context.Context, r SeekRequest, now time.Time) (Consumer, error)
	// CommitOffsets flushes lazy commits: each moves its consumer forward only, and only while
	// SeekNo and Incarnation are still the stored ones; the others are ignored, as are consumers that
	// are gone.
	CommitOffsets(ctx context.Context, commits []OffsetCommit, now time.Time) error
}

// TokenStore keeps what is known of tokens. There are about MaxTokens at most.
type TokenStore interface {
	// CreateToken stores a token whose id is new, and forgets those that were revoked or had expired
	// before forget.
	CreateToken(ctx context.Context, token Token, forget time.Time) error
	// Tokens reads all tokens, in the order of their ids.
	Tokens(ctx context.Context) ([]Token, error)
	// RevokeToken notes when a token was revoked. One that is revoked already keeps its time. found is
	// false where there is none.
	RevokeToken(ctx context.Context, id string, at time.Time) (found bool, err error)
}

// ConsumerRegistration asks for a consumer on a topic. Name may be "".
type ConsumerRegistration struct {
	Topic TopicName
	Name  string
	From  Start
	At    time.Time
	Maker Maker
}

// Consumer is the row of one consumer.
type Consumer struct {
	ID    ConsumerID
	Topic TopicID
	Name  string
	// Offset is the committed position.
	Offset Offset
	// SeekNo counts the seeks; a lazy commit that knows an older number is void.
	SeekNo   int64
	LastSeen time.Time
}

// OffsetCommit is a lazy commit of a consumer's position.
type OffsetCommit struct {
	Consumer ConsumerID
	Offset   Offset
	SeekNo   int64
	// Incarnation is that of the history the offset belongs to, "" for whichever it is. A position
	// in a history that was lost must not be written into the one that is there now.
	Incarnation string
}

// ReadFunc reads messages of a topic like MessageStore.Read. As a tail it may answer nothing for
// what it does not hold; what it answers must be of the incarnation given.
type ReadFunc func(topic TopicID, incarnation string, from Offset, limit int, maxBytes int64) ([]Message, error)
