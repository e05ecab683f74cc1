package workload

import (
	"math/rand/v2"
	"time"

	"github.com/topiq/topiq/torture/history"
)

// The topic with a short history has few operations, so that a search over all orders ends.
const (
	shortOps   = 1500
	shortPause = 250 * time.Millisecond // between two operations of one client, on average
)

// ShortTopic is the topic with a short history, empty if there is none.
func (w *Workload) ShortTopic() string {
	if w.options.NoShort {
		return ""
	}
	return w.options.Prefix + "-short"
}

// startShort starts its clients: four producers, one of which is taken over again and again, and two
// that read the whole topic.
func (w *Workload) startShort() {
	topic := w.ShortTopic()
	w.topics = append(w.topics, topic)
	for i, work := range []func(*client){
		(*client).produceAlone, (*client).produceAlone, (*client).produceAlone, (*client).produceInTurns,
		(*client).readWhole, (*client).readWhole,
	} {
		c := &client{
			w: w, topic: topic, name: w.options.Prefix + "-short" + string(rune('a'+i)), short: true,
			rand: rand.New(rand.NewPCG(w.options.Seed, uint64(1000000+i))),
		}
		w.group.Go(func() { work(c) })
	}
}

// enough says that the short history must not get longer.
func (c *client) enough() bool { return c.short && c.w.short.Load() > shortOps }

// readWhole reads the topic from its beginning to its end again and again.
func (c *client) readWhole() {
	for !c.w.Stopped() && !c.enough() {
		op := c.read(0, 10000, 0)
		if op.Outcome == history.Fail {
			c.incarnation = ""
		}
		c.w.short.Add(1)
		c.w.sleep(time.Duration(float64(shortPause) * (0.5 + c.rand.Float64())))
	}
}
