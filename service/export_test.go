package service

// TailBytes is what all tails hold, for tests.
func (b *Broker) TailBytes() int64 { return b.topics.recount() }
