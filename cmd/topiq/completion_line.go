package main

import (
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// candidate is what a word may become.
type candidate struct{ text, help string }

// wants is what stands at the end of a command line.
type wants int

const (
	wantsCandidates wants = iota // one of those that are known
	wantsTopics                  // the name of a topic
	wantsFiles                   // the name of a file
)

// line is a command line that is being typed.
type line struct {
	word       string // that is to be completed
	wants      wants
	candidates []candidate
	url        string // of the broker, if the line has one

	command     *kong.Node
	positionals int  // words for arguments so far
	ended       bool // -- was there: no flags any more
	flag        *kong.Flag
}

// parseLine finds what may stand in place of the last word.
func parseLine(app *kong.Node, words []string) *line {
	l := &line{command: app}
	if len(words) == 0 {
		return l
	}
	last := len(words) - 1
	l.word = words[last]
	for _, word := range words[:last] {
		l.pass(app, word)
	}
	switch {
	case l.flag != nil:
		// bash makes words of its own of --flag=value: --flag, = and value.
		l.values(l.flag.Value, strings.TrimPrefix(l.word, "="), "")
	case strings.HasPrefix(l.word, "-") && !l.ended:
		l.flags()
	default:
		l.arguments()
	}
	return l
}

// pass goes on behind a word.
func (l *line) pass(app *kong.Node, word string) {
	if flag := l.flag; flag != nil {
		if word == "=" {
			return
		}
		if flag.Name == "url" {
			l.url = word
		}
		l.flag = nil
		return
	}
	name, value, hasValue := strings.Cut(word, "=")
	switch child := l.child(word); {
	case word == "--":
		l.ended = true
	case strings.HasPrefix(word, "-") && !l.ended:
		flag := l.find(name)
		if flag == nil || flag.IsBool() {
			return
		}
		if !hasValue {
			l.flag = flag
		} else if flag.Name == "url" {
			l.url = value
		}
	case child != nil && child.Target.Type() == reflect.TypeFor[helpCommand]():
		l.command = app // what follows is a command line of its own
	case child != nil:
		l.command = child
	default:
		l.positionals++
	}
}

// child is the sub-command of a name.
func (l *line) child(name string) *kong.Node {
	i := slices.IndexFunc(l.command.Children, func(n *kong.Node) bool { return n.Name == name })
	if i < 0 {
		return nil
	}
	return l.command.Children[i]
}

// find is the flag that a word begins.
func (l *line) find(word string) *kong.Flag {
	for _, group := range l.command.AllFlags(false) {
		for _, flag := range group {
			if word == "--"+flag.Name || flag.Short != 0 && word == "-"+string(flag.Short) {
				return flag
			}
		}
	}
	return nil
}

// flags completes a flag, or its value behind an equals sign.
func (l *line) flags() {
	if name, value, hasValue := strings.Cut(l.word, "="); hasValue {
		if flag := l.find(name); flag != nil {
			l.values(flag.Value, value, name+"=")
		}
		return
	}
	for _, group := range l.command.AllFlags(true) {
		for _, flag := range group {
			l.offer(l.word, candidate{"--" + flag.Name, flag.Help})
		}
	}
}

// arguments completes a sub-command or an argument.
func (l *line) arguments() {
	for _, child := range l.command.Children {
		if !child.Hidden {
			l.offer(l.word, candidate{child.Name, child.Help})
		}
	}
	if l.positionals < len(l.command.Positional) {
		l.values(l.command.Positional[l.positionals], l.word, "")
	}
}

// values completes the value of a flag or an argument.
func (l *line) values(value *kong.Value, word, before string) {
	switch {
	case value.Enum != "":
		for text := range strings.SplitSeq(value.Enum, ",") {
			l.offer(before+word, candidate{before + text, ""})
		}
	case value.Target.Type() == reflect.TypeFor[place]():
		l.offer(before+word, candidate{before + "beginning", "the first message still stored"})
		l.offer(before+word, candidate{before + "end", "only messages stored from now on"})
	case value.Flag == nil && value.Name == "topic":
		l.wants = wantsTopics
	case value.Flag == nil && value.Name == "file":
		l.wants = wantsFiles
	}
}

// offer keeps a candidate that goes on as the word begins.
func (l *line) offer(word string, c candidate) {
	if strings.HasPrefix(c.text, word) {
		l.candidates = append(l.candidates, c)
	}
}
