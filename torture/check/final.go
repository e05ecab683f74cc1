package check

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/topiq/topiq/gen/wire"

	"github.com/topiq/topiq/torture/history"
	"github.com/topiq/topiq/torture/workload"
)

// ReadFinal reads every topic once more through every broker, and where the consumers and the
// producers are (through the first). A topic that was never made is left out.
func ReadFinal(ctx context.Context, urls, topics []string) (*Final, error) {
	final := &Final{Topics: map[string]*Topic{}}
	for _, name := range topics {
		topic := &Topic{Consumers: map[string]int64{}, Producers: map[string]Producer{}}
		for i, u := range urls {
			content, found, err := readTopic(ctx, u, name)
			if err != nil {
				return nil, fmt.Errorf("the final read of %s through broker %d: %w", name, i, err)
			}
			if !found {
				continue
			}
			content.Source = "broker " + strconv.Itoa(i)
			topic.Contents = append(topic.Contents, *content)
		}
		if len(topic.Contents) == 0 {
			continue
		}
		if err := readConsumers(ctx, urls[0], name, topic); err != nil {
			return nil, err
		}
		if err := readProducers(ctx, urls[0], name, topic); err != nil {
			return nil, err
		}
		final.Topics[name] = topic
	}
	return final, nil
}

func readTopic(ctx context.Context, base, name string) (content *Content, found bool, err error) {
	content = &Content{}
	var described wire.TopicResult
	if found, err = get(ctx, base+"/topics/"+name, &described); err != nil || !found {
		return nil, found, err
	}
	content.First, content.Next, content.Incarnation = described.FirstOffset, described.NextOffset, described.Incarnation
	for offset := described.FirstOffset; ; {
		var page wire.ReadMessagesResult
		query := url.Values{"offset": {strconv.FormatInt(offset, 10)}, "limit": {"2000"}, "incarnation": {described.Incarnation}}
		if found, err = get(ctx, base+"/topics/"+name+"/messages?"+query.Encode(), &page); err != nil || !found {
			return nil, found, err
		}
		for i := range page.Messages {
			m, err := workload.SeenMessage(&page.Messages[i])
			if err != nil {
				return nil, true, err
			}
			content.Messages = append(content.Messages, m)
		}
		if len(page.Messages) == 0 {
			return content, true, nil
		}
		offset = page.NextOffset
	}
}

func readConsumers(ctx context.Context, base, name string, topic *Topic) error {
	after := ""
	for {
		var page wire.ListConsumersResult
		if _, err := get(ctx, base+"/topics/"+name+"/consumers?limit=1000"+after, &page); err != nil {
			return err
		}
		for _, c := range page.Consumers {
			if c.ConsName != nil {
				topic.Consumers[*c.ConsName] = c.Offset
			}
		}
		if page.Next == nil {
			return nil
		}
		after = "&after=" + strconv.FormatInt(*page.Next, 10)
	}
}

func readProducers(ctx context.Context, base, name string, topic *Topic) error {
	after := ""
	for {
		var page wire.ListProducersResult
		if _, err := get(ctx, base+"/topics/"+name+"/producers?limit=1000"+after, &page); err != nil {
			return err
		}
		for _, p := range page.Producers {
			if p.ProdName != nil && p.Epoch != nil && p.NextSeq != nil && p.Count != nil {
				topic.Producers[*p.ProdName] = Producer{*p.Epoch, *p.NextSeq, *p.Count}
			}
		}
		if page.Next == nil {
			return nil
		}
		after = "&after=" + strconv.FormatInt(*page.Next, 10)
	}
}

// get asks until it gets an answer that means something: after the faults the broker may need a
// moment. False: there is no such thing.
func get(ctx context.Context, address string, into any) (bool, error) {
	const patience = 30 * time.Second
	deadline := time.Now().Add(patience)
	for {
		status, body, err := getOnce(ctx, address)
		switch {
		case err == nil && status == http.StatusOK:
			return true, json.Unmarshal(body, into)
		case err == nil && status == http.StatusNotFound:
			return false, nil
		case err == nil && status < 500:
			return false, fmt.Errorf("%s: %d %s", address, status, body)
		case time.Now().After(deadline) || ctx.Err() != nil:
			if err == nil {
				err = fmt.Errorf("%d %s", status, body)
			}
			return false, fmt.Errorf("%s gave no answer in %s: %w", address, patience, err)
		}
		pause(ctx)
	}
}

// pause is the time between two looks at something that tells nobody when it changes. The end of ctx
// ends it.
func pause(ctx context.Context) {
	timer := time.NewTimer(50 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func getOnce(ctx context.Context, address string) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	return answer.StatusCode, body, err
}

// KnownProducers compares what the broker says of each named producer with what is stored.
func KnownProducers(final *Final) (f Findings) {
	for name, topic := range final.Topics {
		stored := map[string]Producer{}
		content := &topic.Contents[0]
		for i := range content.Messages {
			m := &content.Messages[i]
			if m.Name == "" {
				continue
			}
			p := stored[m.Name]
			p.Count++
			if m.Seq != history.None {
				p.NextSeq = max(p.NextSeq, m.Seq+1)
			}
			stored[m.Name] = p
		}
		for producer, p := range topic.Producers {
			s := stored[producer]
			if content.First == 0 && (p.NextSeq != s.NextSeq || p.Count != s.Count) {
				f.Otherwise("%s of %s has next_seq %d and count %d, and %d messages up to seq %d are stored",
					producer, name, p.NextSeq, p.Count, s.Count, s.NextSeq-1)
			}
		}
	}
	return f
}
