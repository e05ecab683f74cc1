package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/topiq/topiq/client"
)

// retentionFlags say what is to be kept of a topic. What is nil stays as it is.
type retentionFlags struct {
	MaxAge      *age      `placeholder:"AGE" help:"Messages older than this go, such as 90s, 12h or 7d; 0 is no limit."`
	MaxBytes    *byteSize `placeholder:"BYTES" help:"The oldest messages go while the topic holds more, such as 1GiB; 0 is no limit."`
	MaxMessages *int64    `placeholder:"N" help:"The oldest messages go while the topic holds more; 0 is no limit."`
	KeepFor     []string  `placeholder:"NAME" help:"No message goes before the consumer of this name has read it; may be given more than once, and replaces the names that were set."`
}

// given reports whether there is any of the flags.
func (f *retentionFlags) given() bool {
	return f.MaxAge != nil || f.MaxBytes != nil || f.MaxMessages != nil || f.KeepFor != nil
}

func (f *retentionFlags) validate() error {
	if f.MaxMessages != nil && *f.MaxMessages < 0 {
		return errors.New("--max-messages must not be negative")
	}
	return nil
}

// topicsSetCommand is `topiq topics set`.
type topicsSetCommand struct {
	connection
	topicArgument
	retentionFlags
	quotaFlags
	KeepForNobody bool `help:"Wait for no consumer any more."`
}

// Help is the longer part of the help text.
func (*topicsSetCommand) Help() string {
	return "What need not be kept any more goes some seconds later, and does not come back when a limit is raised. " +
		"A consumer of --keep-for that is not registered has read nothing: while there is one, nothing goes. " +
		"Quotas refuse what would be too much, and leave what is there. " +
		"`topiq topics describe` shows what is set."
}

// Validate refuses what cannot work; kong calls it.
func (c *topicsSetCommand) Validate() error {
	if len(c.KeepFor) > 0 && c.KeepForNobody {
		return errors.New("want either --keep-for or --keep-for-nobody")
	}
	if !c.retentionFlags.given() && !c.KeepForNobody && !c.quotaFlags.given() {
		return errors.New("nothing to set: want --max-age, --max-bytes, --max-messages, --keep-for, --keep-for-nobody " +
			"or one of the quotas")
	}
	return errors.Join(c.retentionFlags.validate(), c.quotaFlags.validate())
}

// Run changes the topic.
func (c *topicsSetCommand) Run(ctx context.Context, s streams) error {
	change := client.RetentionChange{
		MaxAge: (*time.Duration)(c.MaxAge), MaxBytes: (*int64)(c.MaxBytes), MaxMessages: c.MaxMessages, KeepFor: c.KeepFor,
	}
	if c.KeepForNobody {
		change.KeepFor = []string{}
	}
	return c.do(ctx, s, func(ctx context.Context, broker *client.Client) error {
		if c.quotaFlags.given() {
			if _, err := broker.SetQuota(ctx, c.Topic, c.change()); err != nil {
				return err
			}
		}
		if !c.retentionFlags.given() && !c.KeepForNobody {
			return nil
		}
		_, err := broker.SetRetention(ctx, c.Topic, change)
		return err
	})
}

// retention is what the flags say of a new topic.
func (f *retentionFlags) retention() client.Retention {
	kept := client.Retention{KeepFor: f.KeepFor}
	if f.MaxAge != nil {
		kept.MaxAge = time.Duration(*f.MaxAge)
	}
	if f.MaxBytes != nil {
		kept.MaxBytes = int64(*f.MaxBytes)
	}
	if f.MaxMessages != nil {
		kept.MaxMessages = *f.MaxMessages
	}
	return kept
}

// retentionFacts are the facts of what is kept, a dash for what is no limit.
func retentionFacts(kept client.Retention) [][]string {
	limit := func(n int64, text string) string {
		if n == 0 {
			return "-"
		}
		return text
	}
	return [][]string{
		{"max_age", limit(int64(kept.MaxAge), age(kept.MaxAge).String())},
		{"max_bytes", limit(kept.MaxBytes, strconv.FormatInt(kept.MaxBytes, 10))},
		{"max_messages", limit(kept.MaxMessages, strconv.FormatInt(kept.MaxMessages, 10))},
		{"keep_for", orDash(strings.Join(kept.KeepFor, ","))},
	}
}

// age is a time.Duration that may be written in days.
type age time.Duration

const day = 24 * time.Hour

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *age) UnmarshalText(text []byte) error {
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return fmt.Errorf("%q is not a number of days", text)
		}
		*a = age(time.Duration(n) * day)
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not a time such as 90s, 12h or 7d", text)
	}
	*a = age(d)
	return nil
}

// String writes whole days as such.
func (a age) String() string {
	if d := time.Duration(a); d > 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return time.Duration(a).String()
}
