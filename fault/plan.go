//go:build faults

package fault

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// plan is what is to happen at the points.
type plan struct {
	text  string
	deeds map[string][]deed
}

// deed is one entry of a plan.
type deed struct {
	action      action
	sleep       time.Duration
	probability float64
}

type action string

const (
	actionKill  action = "kill"
	actionPanic action = "panic"
	actionSleep action = "sleep"
	actionError action = "error"
)

// parse reads NAME=ACTION[:ARGUMENT][@PROBABILITY],….
func parse(text string) (*plan, error) {
	p := &plan{text: text, deeds: map[string][]deed{}}
	if text == "" {
		return p, nil
	}
	for entry := range strings.SplitSeq(text, ",") {
		name, what, ok := strings.Cut(entry, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not NAME=ACTION[:ARGUMENT][@PROBABILITY]", entry)
		}
		if Points()[name] == "" {
			return nil, fmt.Errorf("there is no fault point %q", name)
		}
		d, err := parseDeed(what)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		p.deeds[name] = append(p.deeds[name], d)
	}
	return p, nil
}

func parseDeed(text string) (deed, error) {
	text, probability, limited := strings.Cut(text, "@")
	name, argument, argued := strings.Cut(text, ":")
	d := deed{action: action(name), probability: 1}
	var err error
	switch d.action {
	case actionSleep:
		if d.sleep, err = time.ParseDuration(argument); err != nil || d.sleep < 0 {
			return deed{}, fmt.Errorf("%q is not how long to sleep, such as sleep:10ms", argument)
		}
	case actionKill, actionPanic, actionError:
		if argued {
			return deed{}, fmt.Errorf("%s has no argument", name)
		}
	default:
		return deed{}, fmt.Errorf("there is no action %q: kill, panic, sleep, error", name)
	}
	if !limited {
		return d, nil
	}
	d.probability, err = strconv.ParseFloat(probability, 64)
	if err != nil || !(d.probability >= 0 && d.probability <= 1) { // not NaN either
		return deed{}, fmt.Errorf("%q is not a probability between 0 and 1", probability)
	}
	return d, nil
}
