package postgres_test

import (
	"testing"
	"time"

	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/service"
)

// TestPositionsWaitForTheWholeDump: a dump is put back a table at a time, heads before topics. A position of the
// history that was lost must not be written as soon as there is a head, which nobody can compare yet.
func TestPositionsWaitForTheWholeDump(t *testing.T) {
	t.Parallel()
	url := pgtest.Start(t).URL()
	s := open(t, url)
	_, head, err := s.RegisterProducer(t.Context(), registration("partly", ""))
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := s.RegisterConsumer(t.Context(), service.ConsumerRegistration{
		Topic: head.Name, Name: "c", From: service.FromBeginning, At: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	late := []service.OffsetCommit{{Consumer: c.ID, Offset: 10, SeekNo: c.SeekNo, Incarnation: head.Incarnation}}
	offset := func() service.Offset {
		t.Helper()
		row, _, err := s.RegisterConsumer(t.Context(), service.ConsumerRegistration{
			Topic: head.Name, Name: "c", From: service.FromBeginning, At: time.Now(),
		})
		if err != nil {
			t.Fatal(err)
		}
		return row.Offset
	}
	execute(t, url, "CREATE TABLE aside AS TABLE topics")
	execute(t, url, "DELETE FROM topics")
	if err := s.CommitOffsets(t.Context(), late, time.Now()); err != nil {
		t.Fatal(err)
	}
	execute(t, url, "INSERT INTO topics TABLE aside")
	if got := offset(); got != 0 {
		t.Errorf("the consumer is at %d, of a history that nobody could tell from the one before", got)
	}
	if err := s.CommitOffsets(t.Context(), late, time.Now()); err != nil {
		t.Fatal(err)
	}
	if got := offset(); got != 10 {
		t.Errorf("the consumer is at %d when all is there again, want 10", got)
	}
}
