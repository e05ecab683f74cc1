package service

import (
	"slices"
	"time"
)

// Retention says what is kept of a topic. The zero value keeps everything. Where several limits are set, a
// message goes as soon as one of them says so.
type Retention struct {
	// MaxAge lets go of messages that were stored longer ago than this, in whole seconds. 0 is no limit.
	MaxAge time.Duration
	// MaxBytes and MaxMessages let go of the oldest while there is more than this (Head.Bytes). 0 is no
	// limit.
	MaxBytes, MaxMessages int64
	// KeepFor are names of consumers, sorted, each once: nothing goes, whatever the limits say, before all
	// of them have read it. One that is not registered has read nothing.
	KeepFor []string
}

// The bounds of a Retention: a hundred years, and a hundred names.
const (
	MaxRetentionAge = 36525 * 24 * time.Hour
	MaxKeepFor      = 100
)

// Limited reports whether anything ever goes.
func (r *Retention) Limited() bool { return r.MaxAge > 0 || r.MaxBytes > 0 || r.MaxMessages > 0 }

// IsZero reports whether nothing is set, not even a consumer to wait for.
func (r *Retention) IsZero() bool { return !r.Limited() && len(r.KeepFor) == 0 }

// RetentionChange changes a Retention: what is nil stays as it is, 0 takes a limit away.
type RetentionChange struct {
	MaxAge                *time.Duration
	MaxBytes, MaxMessages *int64
	KeepFor               *[]string
}

// Apply returns a retention as a change leaves it.
func (c *RetentionChange) Apply(r Retention) Retention {
	change(&r.MaxAge, c.MaxAge)
	change(&r.MaxBytes, c.MaxBytes)
	change(&r.MaxMessages, c.MaxMessages)
	change(&r.KeepFor, c.KeepFor)
	r.KeepFor = slices.Clone(r.KeepFor)
	slices.Sort(r.KeepFor)
	r.KeepFor = slices.Compact(r.KeepFor)
	return r
}

func change[T any](v, to *T) {
	if to != nil {
		*v = *to
	}
}

// check refuses what cannot be kept. A change that changes nothing is refused too: it is a mistake.
func (c *RetentionChange) check() error {
	if c.MaxAge == nil && c.MaxBytes == nil && c.MaxMessages == nil && c.KeepFor == nil {
		return Invalid("retention", "must have at least one of max_age_seconds, max_bytes, max_messages and keep_for")
	}
	if c.MaxAge != nil && (*c.MaxAge < 0 || *c.MaxAge > MaxRetentionAge) {
		return Invalid("max_age_seconds", "must be between 0 and %d", int64(MaxRetentionAge/time.Second))
	}
	if err := checkOptional("max_bytes", c.MaxBytes, 0); err != nil {
		return err
	}
	if err := checkOptional("max_messages", c.MaxMessages, 0); err != nil {
		return err
	}
	if c.KeepFor == nil {
		return nil
	}
	if len(*c.KeepFor) > MaxKeepFor {
		return Invalid("keep_for", "must have at most %d names", MaxKeepFor)
	}
	for _, name := range *c.KeepFor {
		if err := CheckName("keep_for", name); err != nil {
			return err
		}
	}
	return nil
}

// Overruled reports whether a trim was decided by another Retention than the one that is set. A trim that
// nothing has decided, which is none of retention, is never overruled.
func Overruled(decidedBy []Retention, set Retention) bool {
	return slices.ContainsFunc(decidedBy, func(r Retention) bool {
		return r.MaxAge != set.MaxAge || r.MaxBytes != set.MaxBytes || r.MaxMessages != set.MaxMessages ||
			!slices.Equal(r.KeepFor, set.KeepFor)
	})
}

// KeptFor are the consumers that a trim waits for.
func KeptFor(decidedBy []Retention) (names []string) {
	for i := range decidedBy {
		names = append(names, decidedBy[i].KeepFor...)
	}
	return names
}

// PlanTrim returns the first offset that a trim before an offset leaves a topic with: it never goes back, nor
// beyond the end, nor beyond what the consumers that are waited for have read. positions are those of
// them that exist, by name.
func PlanTrim(before Offset, head Head, decidedBy []Retention, positions map[string]Offset) Offset {
	for _, name := range KeptFor(decidedBy) {
		position, ok := positions[name]
		if !ok {
			return head.First
		}
		before = min(before, position)
	}
	return min(max(before, head.First), head.Next)
}
