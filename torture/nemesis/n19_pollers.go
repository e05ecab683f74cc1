package nemesis

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/topiq/topiq/torture/history"
	"github.com/topiq/topiq/torture/pollers"
	"github.com/topiq/topiq/torture/server"
	"github.com/topiq/topiq/torture/workload"
)

const (
	crowdSize  = 10000
	crowdWaves = 3
	crowdTopic = "idle"
)

// idlePollers is N19.
func idlePollers() Nemesis {
	return Nemesis{
		ID: "N19", Name: "10,000 idle long polls, woken all at once", Needs: []Need{{"12,000 open files", enoughFiles}},
		Engines: []string{SQLite, Postgres}, Faults: "waves of 10,000 wake-ups", Round: idlePollersRound,
	}
}

// enoughFiles checks the limit that the crowd and the broker, two processes, each have.
func enoughFiles() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Max < crowdSize+2000 {
		return fmt.Errorf("the system grants %d: ulimit -Hn %d", limit.Max, crowdSize+2000)
	}
	return nil
}

// idlePollersRound lets ten thousand clients wait on an idle topic while the ordinary ones work on
// others, and wakes all a few times. It measures the memory of a waiting client, how long it takes to
// wake all, and what the crowd does to the time of a produce.
func idlePollersRound(ctx context.Context, r *Round) error {
	brokers, err := r.Brokers(ctx, 1, BrokerOptions{})
	if err != nil {
		return err
	}
	b := brokers[0]
	w, err := r.Workload(ctx, workload.Options{Rate: 150})
	if err != nil {
		return err
	}
	if err := server.Pause(ctx, 2*time.Second); err != nil {
		return err
	}
	r.Result.Extra["produce_p99_ms_before"] = produceP99(w, 0)
	before, err := server.UsageOf(b.Pid())
	if err != nil {
		return err
	}
	if err := post(ctx, b.URL()+"/topics", map[string]any{"name": crowdTopic}, nil); err != nil {
		return err
	}
	if err := r.crowd(ctx, b, w, before); err != nil {
		return err
	}
	if err := r.Recovered(ctx, time.Now()); err != nil {
		return err
	}
	// What the crowd needed, and no more, may still be there.
	needed := r.Result.Extra["rss_per_poller_bytes"] * crowdSize
	return r.Check(ctx, CheckOptions{Spare: int64(2 * needed)})
}

// crowd runs the crowd in its own process, and wakes it.
func (r *Round) crowd(ctx context.Context, b *server.Broker, w *workload.Workload, before server.Usage) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, pollers.Command, b.URL(), crowdTopic, strconv.Itoa(crowdSize), strconv.Itoa(crowdWaves))
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	waves := json.NewDecoder(out)
	err = r.wakeCrowd(ctx, b, w, before, waves)
	if err != nil {
		cancel()
	}
	if waited := cmd.Wait(); waited != nil && err == nil {
		err = fmt.Errorf("the crowd: %w: %s", waited, said.String())
	}
	return err
}

func (r *Round) wakeCrowd(ctx context.Context, b *server.Broker, w *workload.Workload, before server.Usage, waves *json.Decoder) error {
	var producer struct {
		ID int64 `json:"producer_id"`
	}
	if err := post(ctx, b.URL()+"/producer/register", map[string]any{"topic": crowdTopic}, &producer); err != nil {
		return err
	}
	for wave := range crowdWaves {
		var waiting, woken pollers.Wave
		if err := waves.Decode(&waiting); err != nil {
			return fmt.Errorf("the crowd ended: %w", err)
		}
		since := w.Recorder().Now()
		if err := server.Pause(ctx, 2*time.Second); err != nil {
			return err
		}
		if wave == 0 {
			r.Result.Extra["produce_p99_ms_with_crowd"] = produceP99(w, since)
			now, err := server.UsageOf(b.Pid())
			if err != nil {
				return err
			}
			r.Result.Extra["rss_per_poller_bytes"] = float64(now.RSS-before.RSS) / crowdSize
		}
		r.FaultSoon()
		sent := time.Now().UnixNano()
		message := map[string]any{"topic": crowdTopic, "producer_id": producer.ID, "message": "wake up"}
		if err := post(ctx, b.URL()+"/producer/produce", message, nil); err != nil {
			return err
		}
		if err := waves.Decode(&woken); err != nil {
			return fmt.Errorf("the crowd ended: %w", err)
		}
		if woken.Woken != crowdSize {
			r.violation("%d of %d long polls were not woken with the message: %s", crowdSize-woken.Woken, crowdSize, woken.Problem)
			continue
		}
		for name, at := range map[string]int64{"wake_p50_ms": woken.P50, "wake_p99_ms": woken.P99, "wake_last_ms": woken.Last} {
			r.Result.Extra[name] = max(r.Result.Extra[name], float64(at-sent)/1e6)
		}
	}
	return nil
}

// produceP99 is the time in milliseconds within which 99 % of the produces since then were answered.
func produceP99(w *workload.Workload, since int64) float64 {
	var times []int64
	for _, op := range w.Recorder().Ops() {
		if op.Kind == history.Produce && op.Outcome == history.OK && op.Invoke >= since {
			times = append(times, op.Return-op.Invoke)
		}
	}
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return float64(times[len(times)*99/100]) / 1e6
}

// post makes one call and decodes the answer.
func post(ctx context.Context, address string, body, into any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(encoded))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	content, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("POST %s: %d %s", address, answer.StatusCode, content)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(content, into)
}
