package nemesis

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/topiq/topiq/torture/pgproxy"
	"github.com/topiq/topiq/torture/server"
)

// lines are the ways of brokers to one PostgreSQL server, a proxy for each.
type lines struct {
	direct  string // the address of the database without a proxy
	proxies []*pgproxy.Proxy
	brokers []*server.Broker
}

// lines starts a PostgreSQL server and n brokers, each behind a proxy of its own.
func (r *Round) lines(ctx context.Context, n int, o BrokerOptions) (*lines, error) {
	pg, err := r.Postgres(ctx, PostgresOptions{})
	if err != nil {
		return nil, err
	}
	l := &lines{direct: pg.URL(Database)}
	for range n {
		proxy, err := pgproxy.Start(ctx, l.direct, r.Rand.Uint64())
		if err != nil {
			return nil, err
		}
		r.Cleanup(func() { _ = proxy.Close() })
		o.Store = proxy.URL()
		b, err := r.NewBroker(ctx, o)
		if err != nil {
			return nil, err
		}
		if err := b.Start(ctx); err != nil {
			return nil, err
		}
		l.proxies, l.brokers = append(l.proxies, proxy), append(l.brokers, b)
	}
	r.measureBaseline(ctx)
	return l, nil
}

// setPolicy gives every proxy the same policy.
func (l *lines) setPolicy(policy pgproxy.Policy) {
	for _, p := range l.proxies {
		p.SetPolicy(policy)
	}
}

// faults adds up what has happened to COMMITs, but for those that were merely held.
func (l *lines) faults() (kinds map[string]float64, cuts int) {
	kinds = map[string]float64{}
	for _, p := range l.proxies {
		for kind, n := range p.Counts().Kinds {
			kinds[string(kind)] += float64(n)
			if kind != pgproxy.Pass && kind != pgproxy.HoldBefore && kind != pgproxy.HoldAfter {
				cuts += int(n)
			}
		}
	}
	return kinds, cuts
}

// extra adds numbers to the result under names with underscores.
func (r *Round) extra(prefix string, numbers map[string]float64) {
	for name, n := range numbers {
		r.Result.Extra[prefix+strings.ReplaceAll(name, " ", "_")] += n
	}
}

// until waits for something, and says whether it came true before the limit was over.
func until(ctx context.Context, limit time.Duration, done func() bool) (bool, error) {
	for deadline := time.Now().Add(limit); !done(); {
		if time.Now().After(deadline) {
			return false, nil
		}
		if err := server.Pause(ctx, 20*time.Millisecond); err != nil {
			return false, err
		}
	}
	return true, nil
}

// peak is the most memory that a broker has had so far, in MiB. It is noted in the result.
func (r *Round) peak(b *server.Broker) float64 {
	u, err := server.UsageOf(b.Pid())
	if err != nil {
		return 0 // it has ended, which is noticed elsewhere
	}
	mib := float64(u.Peak >> 20)
	r.Result.Extra["peak_mib"] = max(r.Result.Extra["peak_mib"], mib)
	return mib
}

// answerTo is what a broker said to one call.
type answerTo struct {
	status int
	header http.Header
	body   []byte
}

// ask makes one call and reads the answer; an error means that there was none.
func ask(ctx context.Context, client *http.Client, method, url string, body any) (answerTo, error) {
	var reader io.Reader = http.NoBody
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return answerTo{}, err
		}
		reader = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(ctx, method, url, reader)
	if err != nil {
		return answerTo{}, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(request)
	if err != nil {
		return answerTo{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	return answerTo{resp.StatusCode, resp.Header, raw}, err
}

// must makes a call that has to succeed, and decodes its answer.
func must(ctx context.Context, client *http.Client, method, url string, body, into any) error {
	got, err := ask(ctx, client, method, url, body)
	if err != nil {
		return err
	}
	if got.status != http.StatusOK {
		return fmt.Errorf("%s %s: %d %s", method, url, got.status, got.body)
	}
	return json.Unmarshal(got.body, into)
}

// registerProducer opens a topic for clients that are not the workload's, and returns the id of an
// anonymous producer.
func registerProducer(ctx context.Context, client *http.Client, broker, topic string) (int64, error) {
	var result struct {
		ProducerID int64 `json:"producer_id"`
	}
	err := must(ctx, client, http.MethodPost, broker+"/producer/register", map[string]any{"topic": topic}, &result)
	return result.ProducerID, err
}
