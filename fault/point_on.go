//go:build faults

package fault

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"
)

// Error is the failure that the action error causes.
type Error struct{ Point string }

// Error implements error.
func (e *Error) Error() string { return "fault point " + e.Point }

// lastPlan is the plan of the environment as it was last read.
var lastPlan atomic.Pointer[plan] //nolint:gochecknoglobals // there is one environment, and points have nowhere to carry a plan

// current returns the plan of the environment, which tests change while they run.
func current() (*plan, error) {
	text := os.Getenv("TOPIQ_FAULTS")
	if p := lastPlan.Load(); p != nil && p.text == text {
		return p, nil
	}
	p, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("TOPIQ_FAULTS: %w", err)
	}
	lastPlan.Store(p)
	return p, nil
}

// Point is a place at which the broker can be made to fail. It does what TOPIQ_FAULTS says of its
// name, and answers the error with which the step at this place is to fail, nil if it goes on.
func Point(name string) error {
	p, err := current()
	if err != nil {
		panic(err)
	}
	if Points()[name] == "" {
		panic("fault: there is no point " + name)
	}
	for _, d := range p.deeds[name] {
		if rand.Float64() >= d.probability { //nolint:gosec // not for secrets
			continue
		}
		if err := d.act(name); err != nil {
			return err
		}
	}
	return nil
}

func (d deed) act(name string) error {
	switch d.action {
	case actionKill:
		die()
	case actionPanic:
		panic("fault point " + name)
	case actionSleep:
		<-time.After(d.sleep)
	case actionError:
		return &Error{Point: name}
	}
	return nil
}

// die ends the process as SIGKILL does: nothing of it runs any more.
func die() {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(fmt.Sprintf("fault: kill: %v", err))
	}
	select {} // until the signal has come
}

func builtWithFaults() []string { return []string{"built with faults"} }

func checkPoints() error {
	if _, err := current(); err != nil {
		return err
	}
	if path := os.Getenv(clockFile); path != "" {
		if _, err := readOffset(path); err != nil {
			return fmt.Errorf("%s: %w", clockFile, err)
		}
	}
	return nil
}
