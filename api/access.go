package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/topiq/topiq/gen/wire"
	"github.com/topiq/topiq/gen/wireserver"
	"github.com/topiq/topiq/service"
)

// rule is what a token must allow for an operation. Where authentication is on, a request passes
// two gates: whoever has no valid token is turned away before anything of the request is read
// (admit), and a token that does not allow it before anything is looked up (authorize). So what
// exists makes no difference to either answer.
type rule struct {
	// public needs no token: it tells what everybody may know.
	public bool
	// scope is what the document says of it, "" where it is public.
	scope string
	// check refuses a request. It is nil where any valid token will do.
	check func(c echo.Context, h *handlers, g *service.Grant, request any) error
}

// rules has the rule of each operation. One that is missing here makes NewHandler panic.
func rules() map[string]rule {
	const produce, consume = service.RightProduce, service.RightConsume
	return map[string]rule{
		"health": public(), "ready": public(), "documentYAML": public(), "documentJSON": public(), "docs": public(),
		"info": {scope: "any"}, "metrics": {scope: "any"},

		"createTopic":    {scope: "produce:{topic}, and admin with retention or quota", check: createTopic},
		"listTopics":     {scope: "any", check: listVisible},
		"describeTopic":  {scope: "produce:{topic} or consume:{topic}", check: describe},
		"updateTopic":    admin(),
		"deleteTopic":    admin(),
		"readMessages":   on(consume, func(r wireserver.ReadMessagesRequestObject) wire.Name { return r.Topic }),
		"streamMessages": on(consume, func(r wireserver.StreamMessagesRequestObject) wire.Name { return r.Topic }),
		"listConsumers":  on(consume, func(r wireserver.ListConsumersRequestObject) wire.Name { return r.Topic }),
		"listProducers":  on(produce, func(r wireserver.ListProducersRequestObject) wire.Name { return r.Topic }),

		"registerProducer":   on(produce, func(r wireserver.RegisterProducerRequestObject) wire.Name { return r.Body.Topic }),
		"produce":            on(produce, func(r wireserver.ProduceRequestObject) wire.Name { return r.Body.Topic }),
		"unregisterProducer": on(produce, func(r wireserver.UnregisterProducerRequestObject) wire.Name { return r.Body.Topic }),
		"describeProducer":   on(produce, func(r wireserver.DescribeProducerRequestObject) wire.Name { return r.Params.Topic }),
		"countProduced":      {scope: "produce:{topic}, or produce:* without topic", check: countProduced},

		"registerConsumer":   on(consume, func(r wireserver.RegisterConsumerRequestObject) wire.Name { return r.Body.Topic }),
		"consume":            on(consume, func(r wireserver.ConsumeRequestObject) wire.Name { return r.Params.Topic }),
		"consumePost":        on(consume, func(r wireserver.ConsumePostRequestObject) wire.Name { return r.Body.Topic }),
		"countUnread":        on(consume, func(r wireserver.CountUnreadRequestObject) wire.Name { return r.Params.Topic }),
		"describeConsumer":   on(consume, func(r wireserver.DescribeConsumerRequestObject) wire.Name { return r.Params.Topic }),
		"unregisterConsumer": on(consume, func(r wireserver.UnregisterConsumerRequestObject) wire.Name { return r.Body.Topic }),
		"setOffset":          {scope: "consume:{topic}", check: setOffset},

		"createToken": admin(), "listTokens": admin(), "revokeToken": admin(),
	}
}

func public() rule { return rule{public: true} }

func admin() rule {
	return rule{scope: string(service.RightAdmin), check: func(_ echo.Context, _ *handlers, g *service.Grant, _ any) error {
		return mayOn(g, service.RightAdmin, "")
	}}
}

// on needs a right on the topic that the request names.
func on[R any](right service.Right, topic func(R) wire.Name) rule {
	return rule{
		scope: string(right) + ":{topic}",
		check: func(_ echo.Context, _ *handlers, g *service.Grant, request any) error {
			r, err := requestAs[R](request)
			if err != nil {
				return err
			}
			return mayOnNamed(g, right, topic(r))
		},
	}
}

// requestAs is the request of an operation. An operation with the rule of another one is refused.
func requestAs[R any](request any) (R, error) {
	r, ok := request.(R)
	if !ok {
		return r, fmt.Errorf("api: the rule is for a %T, the request is a %T", r, request)
	}
	return r, nil
}

func mayOn(g *service.Grant, right service.Right, topic service.TopicName) error {
	if g.May(right, topic) {
		return nil
	}
	return &refusal{
		code: CodeForbidden, message: "the token lacks a scope", required: string(service.ScopeOf(right, topic)),
	}
}

// mayOnNamed leaves a name that none can be to the operation, which says what is wrong with it: no
// topic has it, so that tells nothing.
func mayOnNamed(g *service.Grant, right service.Right, topic wire.Name) error {
	if service.CheckName("topic", topic) != nil {
		return nil //nolint:nilerr // see above
	}
	return mayOn(g, right, topicName(topic))
}

// createTopic with a retention or a quota decides, like updateTopic, which messages of others are let go of and
// which are refused.
func createTopic(_ echo.Context, _ *handlers, g *service.Grant, request any) error {
	r, err := requestAs[wireserver.CreateTopicRequestObject](request)
	if err != nil {
		return err
	}
	if err := mayOnNamed(g, service.RightProduce, r.Body.Name); err != nil || r.Body.Retention == nil && r.Body.Quota == nil {
		return err
	}
	return mayOn(g, service.RightAdmin, "")
}

// describe is for whoever may do anything with the topic.
func describe(_ echo.Context, _ *handlers, g *service.Grant, request any) error {
	r, err := requestAs[wireserver.DescribeTopicRequestObject](request)
	if err != nil || g.May(service.RightProduce, topicName(r.Topic)) {
		return err
	}
	return mayOnNamed(g, service.RightConsume, r.Topic)
}

// countProduced without a topic counts in all of them, which tells of each.
func countProduced(_ echo.Context, _ *handlers, g *service.Grant, request any) error {
	r, err := requestAs[wireserver.CountProducedRequestObject](request)
	switch {
	case err != nil:
		return err
	case r.Params.Topic != nil:
		return mayOnNamed(g, service.RightProduce, *r.Params.Topic)
	case g.MayEverywhere(service.RightProduce):
		return nil
	}
	return everywhere(service.RightProduce)
}

// everywhere refuses a request that needs a right on every topic.
func everywhere(right service.Right) error {
	return &refusal{
		code: CodeForbidden, message: "the token lacks a scope", required: string(service.ScopeOf(right, service.AnyTopic)),
	}
}

// setOffset without a topic names a consumer and nothing else. One of a topic that the token does
// not cover is answered like one that is not there. What was looked up stays true: a consumer never
// changes its topic, nor a topic its name, and no id is used again.
func setOffset(c echo.Context, h *handlers, g *service.Grant, request any) error {
	r, err := requestAs[wireserver.SetOffsetRequestObject](request)
	switch {
	case err != nil:
		return err
	case r.Body.Topic != nil:
		return mayOnNamed(g, service.RightConsume, *r.Body.Topic)
	case g.MayEverywhere(service.RightConsume):
		return nil
	case !g.MaySomewhere(service.RightConsume):
		return everywhere(service.RightConsume)
	}
	topic, err := h.broker.TopicOf(c.Request().Context(), consumerID(r.Body.ConsumerID))
	if err == nil && !g.May(service.RightConsume, topic) {
		err = service.ErrConsumerNotFound
	}
	return err
}

// grantKey is what the context of listTopics has its grant under.
type grantKey struct{}

// listVisible lets the operation list what the token may see.
func listVisible(c echo.Context, _ *handlers, g *service.Grant, _ any) error {
	r := c.Request()
	c.SetRequest(r.WithContext(context.WithValue(r.Context(), grantKey{}, g)))
	return nil
}

// visibleTo returns the grant that a list is for, nil for everybody.
func visibleTo(ctx context.Context) *service.Grant {
	g, _ := ctx.Value(grantKey{}).(*service.Grant)
	return g
}

// authorize is the gate before the operations, behind the decoding of their requests.
func (h *handlers) authorize(next wireserver.StrictHandlerFunc, _ string) wireserver.StrictHandlerFunc {
	return func(c echo.Context, request any) (any, error) {
		x := exchangeOf(c)
		if x.grant == nil {
			return next(c, request)
		}
		if check := x.operation.rule.check; check != nil {
			if err := check(c, h, x.grant, request); err != nil {
				return nil, err
			}
		}
		r := c.Request()
		if ctx := x.grant.Context(r.Context()); ctx != r.Context() {
			c.SetRequest(r.WithContext(ctx))
		}
		return next(c, request)
	}
}

// authenticate returns what the token of a request allows. All that is wrong with tokens is answered
// alike.
func (s *server) authenticate(r *http.Request) (*service.Grant, error) {
	headers := r.Header["Authorization"]
	if len(headers) != 1 {
		return nil, errUnauthorized
	}
	const scheme = "Bearer "
	header := headers[0]
	if len(header) < len(scheme) || !strings.EqualFold(header[:len(scheme)], scheme) {
		return nil, errUnauthorized
	}
	grant, err := s.broker.Authenticate(r.Context(), strings.TrimLeft(header[len(scheme):], " "))
	if err == nil && grant == nil {
		err = errUnauthorized
	}
	return grant, err
}
