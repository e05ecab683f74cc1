package service

import "context"

// TailBytes is what all tails hold, for tests.
func (b *Broker) TailBytes() int64 { return b.topics.recount() }

// RetainAll does a round of retention now.
func (b *Broker) RetainAll(ctx context.Context) { b.retainAll(ctx) }

// FlushUsed writes now who was used.
func (b *Broker) FlushUsed(ctx context.Context) { b.flushUsed(ctx) }

// ForgetUnused forgets now who was not used.
func (b *Broker) ForgetUnused(ctx context.Context) { b.forgetUnused(ctx) }
