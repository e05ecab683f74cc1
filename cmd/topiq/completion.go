package main

import (
	"context"
	"embed"
	"fmt"
	"strings"
	"time"

	"github.com/topiq/topiq/client"
)

// The script of a shell asks `topiq __complete` for each completion, so that it need not know what
// commands there are.
//
//go:embed completion/topiq.bash completion/topiq.zsh completion/topiq.fish
var completionScripts embed.FS

// completionCommand is `topiq completion`.
type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: bash, zsh or fish."`
}

// Help is the longer part of the help text.
func (*completionCommand) Help() string {
	return "Completes commands, flags, files and the names of topics. To have it in each shell, put the line of " +
		"yours into its configuration:\n\n" +
		"    ~/.bashrc                    source <(topiq completion bash)\n" +
		"    ~/.zshrc, after compinit     source <(topiq completion zsh)\n" +
		"    ~/.config/fish/config.fish   topiq completion fish | source"
}

// Run writes the script.
func (c *completionCommand) Run(s streams) error {
	script, err := completionScripts.ReadFile("completion/topiq." + c.Shell)
	if err != nil {
		return err
	}
	_, err = s.out.Write(script)
	return err
}

// Whoever presses a key waits for what these bound.
const (
	completionTimeout = time.Second
	completionTopics  = 1000
)

// completeCommand is `topiq __complete`, which the scripts call.
type completeCommand struct {
	connection
	Words []string `arg:"" optional:"" help:"The words after topiq; the last one is to be completed."`
}

// Run writes what the last word may become, each with a description behind a tab; or the line
// :files for the name of a file.
func (c *completeCommand) Run(ctx context.Context, s streams) error {
	parser, err := newParser(ctx, s, func(int) {})
	if err != nil {
		return err
	}
	l := parseLine(parser.Model.Node, c.Words)
	if l.wants == wantsTopics {
		if l.url != "" {
			c.URL = strings.Split(l.url, ",")
		}
		l.candidates = c.topics(ctx, s, l.word)
	}
	if l.wants == wantsFiles {
		_, err := fmt.Fprintln(s.out, ":files")
		return err
	}
	for _, found := range l.candidates {
		if _, err := fmt.Fprintf(s.out, "%s\t%s\n", found.text, found.help); err != nil {
			return err
		}
	}
	return nil
}

// topics are the names of topics, as far as the broker tells them at once.
func (c *completeCommand) topics(ctx context.Context, s streams, prefix string) (found []candidate) {
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	// No failure is told: it would end up in the middle of the line that somebody types.
	_ = c.do(ctx, s, func(ctx context.Context, broker *client.Client) error {
		for name, err := range broker.Topics(ctx, prefix) {
			if err != nil {
				return err
			}
			if found = append(found, candidate{text: name}); len(found) == completionTopics {
				break
			}
		}
		return nil
	})
	return found
}
