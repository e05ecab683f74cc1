package postgres

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/service"
)

const (
	// channel is the name that brokers notify each other by. A channel belongs to its database.
	channel = "topiq_appended"
	// hintInterval is the shortest time between two notifications of a topic.
	hintInterval = 10 * time.Millisecond
	// hintTopics is how many topics may wait for their notification. Others are not notified of.
	hintTopics = 1000
	// hintBytes is the most that one notification holds: the server refuses 8,000. hintComma stands between the names of
	// topics, none of which has one.
	hintBytes = 7_900
	hintComma = ","
	// hintLimit bounds one notification, hintPause the wait before the next try after a failure.
	hintLimit = 2 * time.Second
	hintPause = time.Second
)

// hints tells other brokers which topics have got messages, and hears it from them (P12). Whatever
// fails here is dropped: the brokers poll the heads of topics that somebody waits on, and this only
// makes their waking sooner.
//
// NOTIFY is no part of an append: transactions that notify take one lock for the whole server and
// hold it through their COMMIT, so all appends would commit one after another. Here it is a
// transaction of its own, on a connection of its own, that waits for no disk and no standby.
type hints struct {
	config *pgx.ConnConfig
	some   chan struct{} // has a value while there are topics

	mu     sync.Mutex
	topics map[service.TopicName]struct{}
	// own is the server's process id for the notifying connection: what it said need not be heard.
	own uint32
}

func newHints(config *pgx.ConnConfig) *hints {
	return &hints{config: config, some: make(chan struct{}, 1), topics: map[service.TopicName]struct{}{}}
}

// appended notes topics to notify of. It never blocks: a produce is not to notice.
func (h *hints) appended(topics []service.TopicAppend) {
	if h == nil || len(topics) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range topics {
		if len(h.topics) < hintTopics {
			h.topics[topics[i].Head.Name] = struct{}{}
		}
	}
	select {
	case h.some <- struct{}{}:
	default:
	}
}

// take returns the topics noted so far.
func (h *hints) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	names := make([]string, 0, len(h.topics))
	for name := range h.topics {
		names = append(names, string(name))
	}
	clear(h.topics)
	return names
}

// notify sends notifications until ctx ends. What is appended while one is under way, or within the
// interval, is in the next one, each topic once.
func (h *hints) notify(ctx context.Context) {
	var conn *pgx.Conn
	defer func() { closeHint(ctx, conn) }()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.some:
		}
		pause := hintInterval
		var err error
		if conn, err = h.send(ctx, conn, h.take()); err != nil {
			closeHint(ctx, conn)
			conn, pause = nil, hintPause
		}
		if !wait(ctx, pause) {
			return
		}
	}
}

func (h *hints) send(ctx context.Context, conn *pgx.Conn, topics []string) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, hintLimit)
	defer cancel()
	if conn == nil {
		var err error
		if conn, err = pgx.ConnectConfig(ctx, h.config); err != nil {
			return nil, err
		}
		if _, err := conn.Exec(ctx, "SELECT set_config('synchronous_commit', 'off', false)"); err != nil {
			return conn, err
		}
		h.mu.Lock()
		h.own = conn.PgConn().PID()
		h.mu.Unlock()
	}
	_, err := conn.Exec(ctx, "SELECT pg_notify($1, names) FROM unnest($2::text[]) AS k (names)", channel, packed(topics))
	return conn, err
}

// packed puts as many names into each notification as it holds: the server passes each one on to all that listen, and one
// for each topic would take a tenth of the rate from producers of a thousand topics.
func packed(topics []string) (notifications []string) {
	var names strings.Builder
	for _, topic := range topics {
		if names.Len()+len(hintComma)+len(topic) > hintBytes {
			notifications = append(notifications, names.String())
			names.Reset()
		}
		if names.Len() > 0 {
			names.WriteString(hintComma)
		}
		names.WriteString(topic)
	}
	if names.Len() > 0 {
		notifications = append(notifications, names.String())
	}
	return notifications
}

// listen hears notifications until ctx ends. While it has no connection, or one that a pooler keeps
// them from, nothing is heard.
func (h *hints) listen(ctx context.Context, appended func(service.TopicName)) {
	for {
		_ = h.hear(ctx, appended) // it is tried again, whatever it was
		if !wait(ctx, hintPause) {
			return
		}
	}
}

func (h *hints) hear(ctx context.Context, appended func(service.TopicName)) error {
	connect, cancel := context.WithTimeout(ctx, prepareLimit)
	defer cancel()
	conn, err := pgx.ConnectConfig(connect, h.config)
	if err != nil {
		return err
	}
	defer closeHint(ctx, conn)
	if _, err := conn.Exec(connect, "LISTEN "+channel); err != nil {
		return err
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		h.mu.Lock()
		own := h.own == n.PID
		h.mu.Unlock()
		if own {
			continue
		}
		for topic := range strings.SplitSeq(n.Payload, hintComma) {
			appended(service.TopicName(topic))
		}
	}
}

func closeHint(ctx context.Context, conn *pgx.Conn) {
	if conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackLimit)
	defer cancel()
	_ = conn.Close(ctx) // there is nothing on it to lose
}

// wait returns false when ctx ends first.
func wait(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Watch implements service.Store.
func (s *Store) Watch(ctx context.Context, appended func(service.TopicName)) {
	if s.hints != nil {
		s.hints.listen(ctx, appended)
	}
}
