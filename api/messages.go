package api

import (
	"context"
	"net/http"

	"github.com/topiq/topiq/gen/wire"
	"github.com/topiq/topiq/gen/wireserver"
)

// Produce implements wireserver.StrictServerInterface.
func (h *handlers) Produce(ctx context.Context, r wireserver.ProduceRequestObject) (wireserver.ProduceResponseObject, error) {
	request, err := produceRequest(r.Body)
	if err != nil {
		return nil, err
	}
	result, err := h.broker.Produce(ctx, request)
	if err != nil {
		return nil, err
	}
	return (*produced)(&result), nil
}

// Consume implements wireserver.StrictServerInterface.
func (h *handlers) Consume(ctx context.Context, r wireserver.ConsumeRequestObject) (wireserver.ConsumeResponseObject, error) {
	return h.consume(ctx, consumeBody(&r.Params))
}

// ConsumePost implements wireserver.StrictServerInterface.
func (h *handlers) ConsumePost(ctx context.Context, r wireserver.ConsumePostRequestObject) (wireserver.ConsumePostResponseObject, error) {
	return h.consume(ctx, r.Body)
}

func (h *handlers) consume(ctx context.Context, body *wire.ConsumeRequest) (*consumed, error) {
	request, err := consumeRequest(body)
	if err != nil {
		return nil, err
	}
	result, err := h.broker.Consume(ctx, request)
	if err != nil {
		return nil, err
	}
	return &consumed{result, request.Plain()}, nil
}

// ReadMessages implements wireserver.StrictServerInterface.
func (h *handlers) ReadMessages(ctx context.Context, r wireserver.ReadMessagesRequestObject) (wireserver.ReadMessagesResponseObject, error) {
	request, err := readRequest(r.Topic, &r.Params)
	if err != nil {
		return nil, err
	}
	result, err := h.broker.Read(ctx, request)
	if err != nil {
		return nil, err
	}
	return (*messagesRead)(&result), nil
}

// VisitProduceResponse implements wireserver.ProduceResponseObject.
func (a *produced) VisitProduceResponse(w http.ResponseWriter) error {
	return writeAnswer(halfway(w, "produce.mid_reply"), a)
}

// VisitConsumeResponse implements wireserver.ConsumeResponseObject.
func (a *consumed) VisitConsumeResponse(w http.ResponseWriter) error { return writeAnswer(w, a) }

// VisitConsumePostResponse implements wireserver.ConsumePostResponseObject.
func (a *consumed) VisitConsumePostResponse(w http.ResponseWriter) error { return writeAnswer(w, a) }

// VisitReadMessagesResponse implements wireserver.ReadMessagesResponseObject.
func (a *messagesRead) VisitReadMessagesResponse(w http.ResponseWriter) error {
	return writeAnswer(w, a)
}
