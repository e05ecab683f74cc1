package service

import (
	"context"
	"slices"
	"sync"
)

// lanes runs work in groups (P7): what arrives while a lane's group is under way forms its next
// group, so a group grows exactly as long as the store is slow, and no timer is needed. A lane
// runs one group at a time; different lanes run at the same time.
//
// A panic in run is not recovered: the state of the group would be unknown, so the process ends.
type lanes[Req, Res any] struct {
	run   func(lane int, group []*job[Req, Res])
	queue *backlog
	// groupLen and groupBytes bound one group.
	groupLen   int
	groupBytes int64

	lanes   []lane[Req, Res]
	running sync.WaitGroup
	mu      sync.RWMutex // held for reading while a job is handed over, for writing by close
	closed  bool
}

// lane has a goroutine from its first job on: a new one for each group would have to grow its stack
// each time.
type lane[Req, Res any] struct {
	mu      sync.Mutex
	queue   []*job[Req, Res]
	started bool
	closed  bool
	news    sync.Cond // something was queued, or the lane was closed
}

// keptGroup bounds the memory for groups that a lane keeps while it has nothing to do.
const keptGroup = 1024

// job is one request on its way through a lane. run sets res or err.
type job[Req, Res any] struct {
	req  Req
	size int64 // what it counts for in the queue
	// weight is what it counts for in its group: the size of its answer where that is larger.
	weight int64
	res    Res
	err    error
	done   chan struct{}
	// answered says that done is closed: nothing of the result may change any more. Only the lane
	// looks at it.
	answered bool
	gone     <-chan struct{} // closed when nobody waits for the result any more
	followed Followed        // for the tracer; nil if there is none
}

func newJob[Req, Res any](ctx context.Context, req Req, size int64) *job[Req, Res] {
	return &job[Req, Res]{req: req, size: size, weight: size, done: make(chan struct{}), gone: ctx.Done()}
}

// answer lets the caller go. run may answer a job before the rest of its group; the lane answers the
// others after it.
func (j *job[Req, Res]) answer() {
	if !j.answered {
		j.answered = true
		close(j.done)
	}
}

// abandoned reports whether nobody waits for the result any more.
func (j *job[Req, Res]) abandoned() bool {
	select {
	case <-j.gone:
		return true
	default:
		return false
	}
}

// backlog bounds what waits in all lanes of one kind together.
type backlog struct {
	mu       sync.Mutex
	requests int
	bytes    int64

	takenRequests int
	takenBytes    int64
	refused       int64
}

func (q *backlog) take(bytes int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.requests < 1 || q.bytes < bytes {
		q.refused++
		return false
	}
	q.requests--
	q.bytes -= bytes
	q.takenRequests++
	q.takenBytes += bytes
	return true
}

func (q *backlog) give(bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.requests++
	q.bytes += bytes
	q.takenRequests--
	q.takenBytes -= bytes
}

func newLanes[Req, Res any](n int, queue *backlog, run func(int, []*job[Req, Res])) *lanes[Req, Res] {
	l := &lanes[Req, Res]{
		run: run, queue: queue, groupLen: 4096, groupBytes: 64 << 20, lanes: make([]lane[Req, Res], n),
	}
	for i := range l.lanes {
		l.lanes[i].news.L = &l.lanes[i].mu
	}
	return l
}

// do hands a request to the lane of a bucket and waits for its result. A caller that goes away
// never cancels a group: it gets ErrOutcomeUnknown, and the group goes on without it.
func (l *lanes[Req, Res]) do(ctx context.Context, bucket Bucket, req Req, size int64) (Res, error) {
	j := newJob[Req, Res](ctx, req, size)
	if err := l.submit(bucket, j); err != nil {
		return j.res, err
	}
	return j.wait(ctx)
}

func (j *job[Req, Res]) wait(ctx context.Context) (Res, error) {
	select {
	case <-j.done:
		return j.res, j.err
	case <-ctx.Done():
		var none Res
		return none, ErrOutcomeUnknown.Because(ctx.Err())
	}
}

// submit hands a job to the lane of a bucket. Without an error, run will see it, once.
func (l *lanes[Req, Res]) submit(bucket Bucket, j *job[Req, Res]) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return errClosed
	}
	if !l.queue.take(j.size) {
		return ErrOverloaded
	}
	i := int(bucket) % len(l.lanes)
	lane := &l.lanes[i]
	lane.mu.Lock()
	defer lane.mu.Unlock()
	lane.queue = append(lane.queue, j)
	if !lane.started {
		lane.started = true
		l.running.Go(func() { l.work(i) })
	}
	lane.news.Signal()
	return nil
}

// work runs the groups of one lane until it is closed and nothing is queued.
func (l *lanes[Req, Res]) work(i int) {
	var empty []*job[Req, Res] // of the last group, to be filled again
	for {
		group := l.next(&l.lanes[i], empty)
		if group == nil {
			return
		}
		l.run(i, group)
		for _, j := range group {
			l.queue.give(j.size)
			j.answer()
		}
		clear(group)
		empty = nil
		if cap(group) <= keptGroup {
			empty = group[:0]
		}
	}
}

// next waits for the next group of a lane. When all that is queued goes into it, the next one is
// collected in empty.
func (l *lanes[Req, Res]) next(lane *lane[Req, Res], empty []*job[Req, Res]) []*job[Req, Res] {
	lane.mu.Lock()
	defer lane.mu.Unlock()
	for len(lane.queue) == 0 {
		if lane.closed {
			return nil
		}
		lane.news.Wait()
	}
	n, weight := 0, int64(0)
	for n < len(lane.queue) && n < l.groupLen && (n == 0 || weight+lane.queue[n].weight <= l.groupBytes) {
		weight += lane.queue[n].weight
		n++
	}
	if n == len(lane.queue) {
		group := lane.queue
		lane.queue = empty
		return group
	}
	// Copied and cleared: a lane that never runs dry would otherwise keep all it has ever done.
	group := slices.Clone(lane.queue[:n])
	clear(lane.queue[:n])
	lane.queue = lane.queue[n:]
	return group
}

// close refuses new work and waits until what is queued is done, or ctx ends.
func (l *lanes[Req, Res]) close(ctx context.Context) error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	for i := range l.lanes {
		lane := &l.lanes[i]
		lane.mu.Lock()
		lane.closed = true
		lane.mu.Unlock()
		lane.news.Signal()
	}
	return waitFor(ctx, &l.running)
}

// waitFor waits for a group of goroutines to end, or for ctx.
func waitFor(ctx context.Context, group *sync.WaitGroup) error {
	ended := make(chan struct{})
	go func() {
		group.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempt runs a group as P7 says: a failure that certainly stored nothing is tried once more as
// it is; where splits says that one request's data may be at fault, each request is run alone; an
// unknown outcome is never repeated here. It returns a result or an error for each request.
func attempt[Req, Res any](requests []Req, call func([]Req) ([]Res, error), splits func(error) bool) ([]Res, []error) {
	if len(requests) == 0 {
		return nil, nil
	}
	results, err := call(requests)
	if err != nil && repeatable(err) {
		results, err = call(requests)
	}
	errs := make([]error, len(requests))
	if err == nil {
		return results, errs
	}
	results = make([]Res, len(requests))
	if CodeOf(err) == CodeOutcomeUnknown || !splits(err) {
		for i := range errs {
			errs[i] = err
		}
		return results, errs
	}
	for i := range requests {
		one, err := call(requests[i : i+1])
		if err != nil {
			errs[i] = err
			continue
		}
		results[i] = one[0]
	}
	return results, errs
}
