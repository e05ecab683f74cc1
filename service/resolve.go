package service

import (
	"context"
	"errors"
	"time"
)

const (
	// defaultResolveFor is how long the outcome of one commit may be looked for. A failover to a standby
	// takes 20 s to 30 s, most of it until the old primary counts as dead; who gives up before that
	// tells a client "unknown" just before it could have told the truth. Longer than a client waits
	// for an answer would help nobody, and the lane stands still meanwhile.
	defaultResolveFor = 40 * time.Second
	// resolvePause is the first pause between two attempts; each is twice the one before, up to
	// resolvePauseMax. The first attempt follows at once: usually only one connection was lost.
	resolvePause    = 20 * time.Millisecond
	resolvePauseMax = time.Second
)

// resolveGroup finds out what became of a group whose append had an unknown outcome, by running it
// once more (P9). It is the same input less the messages without seq: nothing could tell whether
// those are stored, so their producers are told at once that nobody knows. The others are looked up
// under the locks that their first attempt holds for as long as it lives; what is there is
// acknowledged where it is, what is not is stored now. It answers a result for each request.
//
// It never looks without writing: a server may show what it is about to lose, and only a commit that
// lies behind it shows that it stays. Nor does it ask the server what became of a transaction:
// after a crash the same number may be another transaction's.
func (b *Broker) resolveGroup(ctx context.Context, group produceJobs, cause error) []AppendResult {
	began := time.Now()
	results := make([]AppendResult, len(group))
	var again produceJobs
	var places []int
	for i, j := range group {
		results[i].Err = ErrOutcomeUnknown.Because(cause)
		if j.req.Seq == NoSeq {
			j.err = results[i].Err
			j.answer()
			continue
		}
		again = append(again, j)
		places = append(places, i)
	}
	if len(again) == 0 {
		b.counters.unresolved.Add(1)
		return results
	}
	resolved, err := insist(ctx, b.config.ResolveFor, nil, func(ctx context.Context) ([]AppendResult, error) {
		return b.appendGroup(ctx, again, true)
	})
	if err != nil {
		b.counters.unresolved.Add(1)
		b.log.WarnContext(ctx, "the outcome of an append stays unknown",
			"requests", len(again), "after", time.Since(began), "cause", cause, "error", err)
		return results
	}
	b.counters.resolved.Add(1)
	b.log.InfoContext(ctx, "the outcome of an append was unknown and is resolved",
		"requests", len(again), "after", time.Since(began), "cause", cause)
	for i, place := range places {
		results[place] = resolved[i]
	}
	return results
}

// repeat makes a call that may be repeated blindly, and makes it again while its outcome is unknown.
// Like a re-run of an append it writes again, under the locks of the attempt before, and so waits for it.
//
// These calls are repeated: RegisterProducer with an instance, ProducerState, SetOffset. Lazy commits
// of positions are too, by the next flush. All others answer ErrOutcomeUnknown, for the reason given:
//
//   - a produce without seq, a consume without offset: it would be done twice
//   - RegisterProducer without instance: it would fence the session of its first attempt, or leave
//     a producer that nobody knows of
//   - RegisterConsumer: with a name the second attempt would answer from what it reads, which no
//     commit confirms; without, it would leave a consumer that nobody knows of
//   - CreateTopic, DeleteTopic: after the first attempt somebody else may have created a topic of that
//     name; to find it would not be success, and to delete it would be a disaster
//   - UnregisterProducer: it would end the session of whoever opened one meanwhile.
//     UnregisterConsumer: not found would be no answer
//
// The broker itself never calls NewIncarnation and Trim. Both may be repeated as they are: the first
// names the incarnation, the second only moves forward.
func repeat[A any](ctx context.Context, b *Broker, call func(context.Context) (A, error)) (A, error) {
	answer, err := call(ctx)
	if CodeOf(err) != CodeOutcomeUnknown {
		return answer, err
	}
	return insist(ctx, b.config.ResolveFor, b.closing, call)
}

// repeatChange is repeat for calls that change something. A refusal of the second attempt says nothing
// of the first, which may have been done and overtaken: the outcome stays unknown, and the client's
// own retry gets the refusal.
func repeatChange[A any](ctx context.Context, b *Broker, call func(context.Context) (A, error)) (A, error) {
	attempts := 0
	answer, err := repeat(ctx, b, func(ctx context.Context) (A, error) {
		attempts++
		return call(ctx)
	})
	if err != nil && attempts > 1 && CodeOf(err) != CodeOutcomeUnknown {
		var none A
		return none, ErrOutcomeUnknown.Because(err)
	}
	return answer, err
}

// insist makes a call whose first attempt had an unknown outcome, until it is known. It gives up when
// that takes longer than budget, when ctx ends, or at the next pause after stop is closed: then
// the outcome stays unknown. The failure of a repeat says nothing about the first attempt, so
// unavailable is as unknown as unknown. Any other error is the answer.
func insist[A any](
	ctx context.Context, budget time.Duration, stop <-chan struct{}, call func(context.Context) (A, error),
) (A, error) {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	for pause := resolvePause; ; pause = min(2*pause, resolvePauseMax) {
		answer, err := call(ctx)
		if err == nil || !unsettled(err) {
			return answer, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
			continue
		case <-ctx.Done():
		case <-stop:
		}
		timer.Stop()
		return answer, ErrOutcomeUnknown.Because(err)
	}
}

// unsettled says of a repeat that it may be made once more.
func unsettled(err error) bool {
	code := CodeOf(err)
	return (code == CodeOutcomeUnknown || code == CodeUnavailable) && !errors.Is(err, ErrStopped)
}
