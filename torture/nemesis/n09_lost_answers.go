package nemesis

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/topiq/topiq/torture/httpproxy"
	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

const (
	loseShare  = 0.3
	loseLeast  = 300
	loseLimit  = 40 * time.Second
	lateMargin = 30 * time.Second // for the delivery of the last copy
)

// network is how bad one is.
type network struct {
	faults int           // a round ends when there were so many,
	atMost time.Duration // or after that time
	late   time.Duration // the latest delivery of a request
}

// lostAnswers is N9, and the same with requests that arrive up to a minute late.
func lostAnswers() []Nemesis {
	engines := []string{SQLite, Postgres}
	return []Nemesis{{
		ID: "N9", Name: "requests and answers lost, doubled, and late by up to 5 s", Engines: engines,
		Cut: true, Short: 1, Faults: "lost, doubled or late",
		Round: func(ctx context.Context, r *Round) error {
			return lostAnswersRound(ctx, r, network{faults: 1000, atMost: loseLimit, late: 5 * time.Second})
		},
	}, {
		ID: "N9-long", Name: "requests and answers lost, doubled, and late by up to 60 s", Engines: engines,
		Cut: true, Faults: "lost, doubled or late",
		Round: func(ctx context.Context, r *Round) error {
			return lostAnswersRound(ctx, r, network{faults: 5000, atMost: 2 * time.Minute, late: time.Minute})
		},
	}}
}

// losePolicy does to each request what its protocol allows a client to survive. What is not safe to
// repeat is lost, in every way, but not doubled: what would come of that nobody promises (P6). A seek is
// not doubled later than its answer either.
func losePolicy(late time.Duration) httpproxy.Policy {
	losses := []httpproxy.Action{
		{Kind: httpproxy.Drop},
		{Kind: httpproxy.CutRequest},
		{Kind: httpproxy.LoseAnswer},
		{Kind: httpproxy.CutAnswer},
		{Kind: httpproxy.Zombie, Delay: late},
	}
	again := httpproxy.Action{Kind: httpproxy.Again}
	doubles := []httpproxy.Action{again, {Kind: httpproxy.Twice}, {Kind: httpproxy.Echo, Delay: late}}
	once := httpproxy.Some(loseShare, losses...)
	seek := httpproxy.Some(loseShare, append([]httpproxy.Action{again}, losses...)...)
	all := httpproxy.Some(loseShare, append(doubles, losses...)...)
	return func(r *rand.Rand, q httpproxy.Request) httpproxy.Action {
		switch {
		case q.Method == http.MethodGet && q.Path != "/consumer/consume":
			return all(r, q)
		case q.Path == "/consumer/set_offset":
			return seek(r, q)
		case q.Path == "/producer/produce" && !bytes.Contains(q.Body, []byte(`"seq":`)),
			strings.HasPrefix(q.Path, "/consumer/consume") && !bytes.Contains(q.Body, []byte(`"offset":`)):
			return once(r, q)
		default:
			return all(r, q)
		}
	}
}

// lostAnswersRound puts a bad network before one broker on SQLite, or two on PostgreSQL.
func lostAnswersRound(ctx context.Context, r *Round, bad network) error {
	n := 1
	if r.Engine == Postgres {
		n = 2
	}
	brokers, err := r.Brokers(ctx, n, BrokerOptions{})
	if err != nil {
		return err
	}
	proxies, urls, err := r.httpProxies(ctx, brokers)
	if err != nil {
		return err
	}
	if _, err := r.Workload(ctx, workload.Options{URLs: urls}); err != nil {
		return err
	}
	for _, p := range proxies {
		p.SetPolicy(losePolicy(bad.late))
	}
	faults := func() (n int) {
		for _, p := range proxies {
			n += int(p.Counts().Faults())
		}
		return n
	}
	if _, err := until(ctx, bad.atMost, func() bool { return faults() >= r.Times(bad.faults) }); err != nil {
		return err
	}
	for _, p := range proxies {
		p.SetPolicy(httpproxy.PassAll)
	}
	// The copies that are late come while clients are at work.
	if err := waitLate(ctx, proxies, bad.late+lateMargin); err != nil {
		return err
	}
	ended := time.Now()
	r.FaultsMade(faults())
	r.lateAnswers(proxies)
	if got := faults(); got < loseLeast {
		r.Invalid("only %d requests were lost, doubled or late, want %d", got, loseLeast)
	}
	if err := r.Recovered(ctx, ended); err != nil {
		return err
	}
	return r.Check(ctx, CheckOptions{})
}

// httpProxies puts a proxy before each broker.
func (r *Round) httpProxies(ctx context.Context, brokers []*server.Broker) (proxies []*httpproxy.Proxy, urls []string, err error) {
	for _, b := range brokers {
		p, err := httpproxy.Start(ctx, b.URL(), r.Rand.Uint64())
		if err != nil {
			return nil, nil, err
		}
		r.Cleanup(func() { _ = p.Close() })
		proxies, urls = append(proxies, p), append(urls, p.URL())
	}
	return proxies, urls, nil
}

func waitLate(ctx context.Context, proxies []*httpproxy.Proxy, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, p := range proxies {
		if err := p.WaitLate(ctx); err != nil {
			return err
		}
	}
	return nil
}

// lateAnswers notes what became of requests, and what brokers answered to those that came late.
func (r *Round) lateAnswers(proxies []*httpproxy.Proxy) {
	numbers := map[string]float64{}
	for _, p := range proxies {
		c := p.Counts()
		for kind, n := range c.Kinds {
			numbers[string(kind)] += float64(n)
		}
		for status, n := range c.Late {
			numbers["late answered "+strconv.Itoa(status)] += float64(n)
			if status >= http.StatusInternalServerError && status != http.StatusServiceUnavailable {
				r.Violation("a request that came late was answered with %d", status)
			}
		}
		numbers["late lost"] += float64(c.LateLost)
	}
	r.extra("", numbers)
}
