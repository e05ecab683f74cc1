package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/topiq/topiq/service"
)

// storePage is how many topics are looked up at a time.
const storePage = 1000

// storeNewIncarnationCommand is `topiq store new-incarnation`. Whether to do it is never taken from
// the environment, which is there for every command.
type storeNewIncarnationCommand struct {
	storeFlags
	Topics []string `arg:"" optional:"" name:"topic" help:"Names of the topics."`
	All    bool     `env:"-" help:"All topics of the store."`
	Yes    bool     `env:"-" help:"Do not ask."`
}

// Help says more than the help of the flags; kong calls it.
func (*storeNewIncarnationCommand) Help() string {
	return "For a store that was put back from a copy: what was acknowledged after the copy was made is lost, " +
		"and the same offsets may soon hold other messages. Clients that send the incarnation they know are " +
		"then refused with incarnation_changed instead of going on in a history that is not theirs. " +
		"Messages, producers and consumers stay as they are. It is done before brokers are started again."
}

// Validate refuses a command line that does not say which topics; kong calls it.
func (c *storeNewIncarnationCommand) Validate() error {
	if c.All == (len(c.Topics) > 0) {
		return errors.New("name the topics, or say --all")
	}
	return nil
}

// Run gives the topics new incarnations.
func (c *storeNewIncarnationCommand) Run(ctx context.Context, s streams) error {
	if !c.Yes && !isTerminal(s.in) {
		return &usageError{errors.New("there is nobody to ask: say --yes")}
	}
	return c.do(ctx, s, func(ctx context.Context, store service.Store) error {
		heads, err := c.heads(ctx, store)
		if err != nil {
			return err
		}
		if !c.Yes {
			question := "Clients of " + plural(int64(len(heads)), "topic") + " will find that their history may have changed. Go on?"
			if err := ask(s.in, s.err, question); err != nil {
				return err
			}
		}
		for _, old := range heads {
			head, err := store.NewIncarnation(ctx, old.Name, rand.Text())
			if c.All && errors.Is(err, service.ErrTopicNotFound) {
				continue // deleted meanwhile
			}
			if err != nil {
				return fmt.Errorf("topic %s: %w", old.Name, err)
			}
			if _, err := fmt.Fprintf(s.out, "%s: %s → %s\n", head.Name, old.Incarnation, head.Incarnation); err != nil {
				return err
			}
		}
		return nil
	})
}

// heads reads the heads of the topics, in the order of their names. If one of those that were named
// is missing nothing is done at all.
func (c *storeNewIncarnationCommand) heads(ctx context.Context, store service.Store) ([]service.Head, error) {
	var names []service.TopicName
	for _, name := range slices.Compact(slices.Sorted(slices.Values(c.Topics))) {
		names = append(names, service.TopicName(name))
	}
	for last := service.TopicName(""); c.All; last = names[len(names)-1] {
		page, err := store.ListTopics(ctx, "", last, storePage)
		if err != nil {
			return nil, fmt.Errorf("list the topics: %w", err)
		}
		if len(page) == 0 {
			break
		}
		names = append(names, page...)
	}
	found := make(map[service.TopicName]service.Head, len(names))
	for page := range slices.Chunk(names, storePage) {
		heads, err := store.Heads(ctx, page)
		if err != nil {
			return nil, fmt.Errorf("read the heads: %w", err)
		}
		for _, head := range heads {
			found[head.Name] = head
		}
	}
	heads := make([]service.Head, 0, len(names))
	for _, name := range names {
		head, ok := found[name]
		if ok {
			heads = append(heads, head)
		} else if !c.All {
			return nil, fmt.Errorf("topic %s does not exist; nothing was changed", name)
		}
	}
	return heads, nil
}

// isTerminal reports whether somebody may be there to answer. (The null device counts too: its
// answer is none, which is a no.)
func isTerminal(in io.Reader) bool {
	file, ok := in.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// ask returns an error unless the answer is yes.
func ask(in io.Reader, out io.Writer, question string) error {
	if _, err := fmt.Fprint(out, question+" [y/N] "); err != nil {
		return err
	}
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was changed")
}
