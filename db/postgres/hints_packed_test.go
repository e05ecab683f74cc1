package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/service"
)

// TestHintsNameManyTopics: of more topics than one notification has room for, another broker hears all.
func TestHintsNameManyTopics(t *testing.T) {
	t.Parallel()
	config, err := pgx.ParseConfig(pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	said, hearing := newHints(config), newHints(config)
	heard := make(chan service.TopicName)
	listening, stop := context.WithCancel(t.Context())
	var listener sync.WaitGroup
	listener.Go(func() {
		hearing.listen(listening, func(topic service.TopicName) {
			select {
			case heard <- topic:
			case <-listening.Done(): // what was sent more than once may come when nobody needs it any more
			}
		})
	})
	defer listener.Wait()
	defer stop()

	var topics []string
	missing := map[service.TopicName]bool{}
	for i := range hintTopics {
		topic := fmt.Sprintf("%s%04d", strings.Repeat("x", 124), i)
		topics = append(topics, topic)
		missing[service.TopicName(topic)] = true
	}
	if n := len(packed(topics)); n > 20 {
		t.Errorf("%d notifications", n)
	}
	var conn *pgx.Conn
	defer func() { closeHint(t.Context(), conn) }()
	again := time.NewTicker(200 * time.Millisecond) // until it has begun to listen
	defer again.Stop()
	for deadline := time.After(time.Minute); len(missing) > 0; {
		if len(missing) == len(topics) {
			if conn, err = said.send(t.Context(), conn, topics); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case topic := <-heard:
			delete(missing, topic)
		case <-again.C:
		case <-deadline:
			t.Fatalf("nothing was heard of %d topics", len(missing))
		}
	}
}
