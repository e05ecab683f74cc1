package postgres_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/db/postgres"
	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/service"
)

// TestHotRowsStayInTheirPage: the rows that every append and every move changes are updated in place
// (HOT). An index on a column that changes, or full pages, would leave a dead version in each index.
func TestHotRowsStayInTheirPage(t *testing.T) {
	t.Parallel()
	const updates = 200
	url := pgtest.URL(t)
	store, err := postgres.Open(t.Context(), url, postgres.Config{Logger: quiet(), MaxConns: smallConns})
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{url: url, stores: [2]*postgres.Store{store, store}}
	if p.named, p.topic, err = store.RegisterProducer(t.Context(), registration("hot", "p")); err != nil {
		t.Fatal(err)
	}
	consumer, _, err := store.RegisterConsumer(t.Context(), service.ConsumerRegistration{Topic: "hot", Name: "c"})
	if err != nil {
		t.Fatal(err)
	}
	for seq := range int64(updates) {
		if _, err := one(t.Context(), store, p.request(seq)); err != nil {
			t.Fatal(err)
		}
		_, err := store.Move(t.Context(), []service.MoveRequest{{
			Topic: p.topic.ID, Consumer: consumer.ID, Limit: 1, MaxBytes: 1,
		}}, nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil { // a session reports its statistics when it ends
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // a test's connection
	for _, table := range []string{"heads", "producers", "consumers"} {
		var all, hot int64
		err := eventually(t, func() error {
			err := conn.QueryRow(t.Context(), "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables "+
				"WHERE relname = $1 AND n_tup_upd >= $2", table, updates).Scan(&all, &hot)
			return err
		})
		if err != nil {
			t.Fatal(table, err)
		}
		if hot < all*9/10 {
			t.Errorf("%s: %d of %d updates stayed in their page", table, hot, all)
		}
	}
}
