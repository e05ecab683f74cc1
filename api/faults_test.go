//go:build faults

package api_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// TestFaultInTheMiddleOfAnAnswer: the client has half of a success, and the message is stored.
func TestFaultInTheMiddleOfAnAnswer(t *testing.T) {
	broker := service.NewBroker(memory.New(memory.Config{}), service.Config{})
	t.Cleanup(func() {
		if err := broker.Close(t.Context()); err != nil && !errors.Is(err, t.Context().Err()) {
			t.Error(err)
		}
	})
	p, _, err := broker.RegisterProducer(t.Context(), "t", "", "")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api.NewHandler(broker, api.Config{}))
	t.Cleanup(server.Close)
	body := `{"topic":"t","message":"x","producer_id":` + strconv.FormatInt(int64(p.ID), 10) + `}`
	for _, plan := range []string{"", "produce.mid_reply=sleep:1ms", "produce.mid_reply=error"} {
		t.Setenv("TOPIQ_FAULTS", plan)
		answer, err := http.Post(server.URL+"/producer/produce", "application/json", strings.NewReader(body)) //nolint:noctx // a test's
		if err != nil {
			t.Fatalf("%q: %v", plan, err)
		}
		text, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		cut := strings.HasSuffix(plan, "error")
		if answer.StatusCode != http.StatusOK || (err != nil) != cut || strings.HasSuffix(string(text), "}") == cut {
			t.Errorf("%q: status %d, %q, %v", plan, answer.StatusCode, text, err)
		}
	}
	t.Setenv("TOPIQ_FAULTS", "")
	if head, err := broker.DescribeTopic(t.Context(), "t"); err != nil || head.Next != 3 {
		t.Errorf("%d messages are stored, %v", head.Next, err)
	}
}
