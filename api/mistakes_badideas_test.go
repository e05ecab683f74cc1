//go:build badideas

package api_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// TestMistakeInvalidUTF8: a message whose bytes are not UTF-8 is stored changed, where it should be
// refused.
func TestMistakeInvalidUTF8(t *testing.T) {
	for mistake, want := range map[string]string{"": "", "invalid_utf8_replaced": "a\uFFFD"} {
		t.Run(mistake, func(t *testing.T) {
			t.Setenv("TOPIQ_MISTAKE", mistake)
			broker := service.NewBroker(memory.New(memory.Config{}), service.Config{})
			defer func() { _ = broker.Close(t.Context()) }()
			p, _, err := broker.RegisterProducer(t.Context(), "t", "p", "")
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/producer/produce",
				strings.NewReader(`{"topic":"t","message":"a`+"\xff"+`","producer_id":`+strconv.FormatInt(int64(p.ID), 10)+`}`))
			r.Header.Set("Content-Type", "application/json")
			answer := httptest.NewRecorder()
			api.NewHandler(broker, api.Config{}).ServeHTTP(answer, r)
			got, err := broker.Read(t.Context(), service.ReadRequest{Topic: "t", Offset: new(service.Offset(0))})
			if err != nil {
				t.Fatal(err)
			}
			stored := ""
			if len(got.Messages) > 0 {
				stored = string(got.Messages[0].Bytes)
			}
			if stored != want {
				t.Errorf("status %d, and %q is stored, want %q", answer.Code, stored, want)
			}
		})
	}
}
