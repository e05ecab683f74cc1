package sqlite

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/topiq/topiq/service"
)

// go test -run '^$' -bench Append ./db/sqlite/: one group at a time, all of it in one request,
// synced before the next. On two cores of a shared virtual machine; see insert.go for what the form
// of the insert makes of it.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{100, 1000} {
		for _, group := range []int{1, 10, 100, 1000} {
			b.Run(fmt.Sprintf("%dx%dB", group, size), func(b *testing.B) {
				s, err := Open(b.Context(), filepath.Join(b.TempDir(), "topiq.db"), Config{})
				if err != nil {
					b.Fatal(err)
				}
				l, err := newLog(b.Context(), s)
				if err != nil {
					b.Fatal(err)
				}
				request := service.AppendRequest{Topic: l.head.ID, Producer: l.producer.ID}
				for i := range group {
					request.Payloads = append(request.Payloads, message(int64(i), size))
				}
				for b.Loop() {
					plan, err := s.Append(b.Context(), []service.AppendRequest{request}, time.Now())
					if err != nil || plan.Results[0].Err != nil {
						b.Fatal(plan, err)
					}
					request.Seq += int64(group)
				}
				b.ReportMetric(float64(b.N*group)/b.Elapsed().Seconds(), "messages/s")
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
