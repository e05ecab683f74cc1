package nemesis

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/topiq/topiq/torture/check"
	"github.com/topiq/topiq/torture/history"
)

// leastRate is how many answers a second there must be before the first fault.
const leastRate = 50

// stopped is what a broker logs when it finds that what is stored contradicts itself. Clients are told
// nothing that is wrong then, nor anything else.
const stopped = "what is stored contradicts itself; the topic is stopped"

// CheckOptions say what a nemesis does not want to be checked.
type CheckOptions struct {
	Rules check.Rules
	// AuditAt is where the store is found for the audit by SQL, if brokers reach it otherwise, such
	// as through a proxy: an address like that of --store.
	AuditAt string
	// URLs of the brokers for the final read; default those of all running brokers.
	URLs []string
	// NoRate leaves out the rate after the last fault, for a nemesis whose clients are not the
	// workload's.
	NoRate bool
	// NoLeaks leaves out the comparison of what brokers hold.
	NoLeaks bool
	// Spare is memory in bytes that brokers may hold longer on top: the runtime of Go collects an idle
	// heap every two minutes only, and gives it back after that.
	Spare int64
	// MayDie allows brokers to end badly at the very end.
	MayDie bool
}

// Check ends the round: the clients finish what they have begun, everything is read once more
// through every broker and by SQL, and every checker judges. Every broker that is to be read must run.
func (r *Round) Check(ctx context.Context, o CheckOptions) error {
	if !o.NoRate && len(r.workloads) > 0 {
		if err := r.steady(ctx, r.workloads[0]); err != nil {
			return err
		}
	}
	for _, w := range r.workloads {
		for _, p := range w.Stop(recoveryLimit) {
			r.violation("%s", p)
		}
	}
	urls := o.URLs
	for i, b := range r.brokers {
		if line := b.Logged(stopped); line != "" {
			r.violation("I21: broker %d has stopped a topic: %s", i, line)
		}
		if err := b.Died(); err != nil {
			r.violation("%v", err)
		}
		if o.URLs == nil && b.Running() {
			urls = append(urls, b.URL())
		}
	}
	if len(urls) == 0 {
		return errors.New("no broker is left to read from")
	}
	final, err := check.ReadFinal(ctx, urls, r.topics())
	if err != nil {
		r.Result.Lost++
		r.Result.Violations = append(r.Result.Violations, fmt.Sprintf("I19: %v", err))
		return nil
	}
	if !o.NoLeaks {
		r.leaks(ctx, o.Spare)
	}
	if err := r.stopBrokers(o); err != nil {
		return err
	}
	findings, err := r.audit(ctx, o, final)
	if err != nil {
		return err
	}
	r.judge(o, final, findings)
	return nil
}

func (r *Round) topics() (names []string) {
	for _, w := range r.workloads {
		names = append(names, w.Topics()...)
	}
	return names
}

func (r *Round) stopBrokers(o CheckOptions) error {
	for _, b := range r.brokers {
		if err := b.Stop(); err != nil && !o.MayDie {
			r.violation("%v", err)
		}
	}
	return nil
}

// judge makes all checks of the history and fills the result.
func (r *Round) judge(o CheckOptions, final *check.Final, findings check.Findings) {
	var ops []*history.Op
	if len(r.workloads) > 0 {
		ops = r.workloads[0].Recorder().Ops()
	}
	found, counts := check.Linear(ops, final, o.Rules)
	found.Add(findings)
	r.search(o, ops, final)
	found.Add(check.KnownProducers(final))
	res := &r.Result
	res.Ops, res.Acked, res.Unknown, res.UnknownStored = counts.Ops, counts.Acked, counts.Unknown, counts.UnknownStored
	res.Lost += found.Lost
	res.Duplicate += found.Duplicate
	res.Ghost += found.Ghost
	res.Reordered += found.Reordered
	res.Gap += found.Gap
	res.Other += found.Other
	res.Violations = append(res.Violations, found.Sentences...)
	switch {
	case res.RateBefore < leastRate && !o.NoRate:
		r.Invalid("only %.0f produces a second were answered before the first fault, want %d", res.RateBefore, leastRate)
	case r.faults == 0:
		r.Invalid("no fault came while a request to produce was under way")
	case r.cut && res.Unknown == 0:
		r.Invalid("no outcome was unknown, so that nothing was cut")
	}
}

// searchTime bounds the search for an order that explains a short history.
const searchTime = 20 * time.Second

// search has the short histories judged by another checker.
func (r *Round) search(o CheckOptions, ops []*history.Op, final *check.Final) {
	for _, w := range r.workloads {
		topic := final.Topics[w.ShortTopic()]
		if topic == nil || o.Rules.MayLose {
			continue
		}
		short := slices.DeleteFunc(slices.Clone(ops), func(op *history.Op) bool { return op.Topic != w.ShortTopic() })
		result, n := check.Search(short, &topic.Contents[0], searchTime)
		switch result {
		case check.Explained:
			r.Result.Extra["searched_operations"] += float64(n)
		case check.Undecided:
			r.Result.Extra["undecided_searches"]++
		default:
			r.violation("no order of the %d operations on %s explains what clients were told and what is there", n, w.ShortTopic())
		}
	}
}

// audit reads the store by SQL and runs `topiq store check` on it. The brokers have stopped.
func (r *Round) audit(ctx context.Context, o CheckOptions, final *check.Final) (check.Findings, error) {
	at := o.AuditAt
	if at == "" {
		at = r.store
	}
	if r.Engine == Memory {
		return check.Findings{}, nil
	}
	f, err := check.SQL(ctx, at, final)
	if err != nil {
		return f, fmt.Errorf("the audit by SQL: %w", err)
	}
	program := r.Env.Topiq
	args := []string{"store", "check", "--store", at}
	if len(r.Env.Settings) > 0 {
		args = append(args, "--unsafe-durability")
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
		f.Otherwise("topiq store check: %v: %s", err, strings.TrimSpace(string(out)))
	}
	return f, nil
}

// Path is a path below the directory of the round.
func (r *Round) Path(elem ...string) string {
	return filepath.Join(append([]string{r.Dir}, elem...)...)
}
