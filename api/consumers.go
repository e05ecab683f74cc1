package api

import (
	"context"

	"github.com/topiq/topiq/gen/wireserver"
)

// RegisterConsumer implements wireserver.StrictServerInterface.
func (h *handlers) RegisterConsumer(ctx context.Context, r wireserver.RegisterConsumerRequestObject) (wireserver.RegisterConsumerResponseObject, error) {
	name, from, err := start(r.Body)
	if err != nil {
		return nil, err
	}
	consumer, head, err := h.broker.RegisterConsumer(ctx, topicName(r.Body.Topic), name, from)
	if err != nil {
		return nil, err
	}
	return wireserver.RegisterConsumer200JSONResponse(registerConsumerResult(&consumer, &head)), nil
}

// UnregisterConsumer implements wireserver.StrictServerInterface.
func (h *handlers) UnregisterConsumer(ctx context.Context, r wireserver.UnregisterConsumerRequestObject) (wireserver.UnregisterConsumerResponseObject, error) {
	if err := h.broker.UnregisterConsumer(ctx, topicName(r.Body.Topic), consumerID(r.Body.ConsumerID)); err != nil {
		return nil, err
	}
	return wireserver.UnregisterConsumer200JSONResponse(unregisterConsumerResult(r.Body.ConsumerID)), nil
}

// DescribeConsumer implements wireserver.StrictServerInterface.
func (h *handlers) DescribeConsumer(ctx context.Context, r wireserver.DescribeConsumerRequestObject) (wireserver.DescribeConsumerResponseObject, error) {
	id, name, err := whichConsumer(&r.Params)
	if err != nil {
		return nil, err
	}
	state, err := h.broker.ConsumerState(ctx, topicName(r.Params.Topic), id, name)
	if err != nil {
		return nil, err
	}
	return wireserver.DescribeConsumer200JSONResponse(consumerResult(&state)), nil
}

// ListConsumers implements wireserver.StrictServerInterface.
func (h *handlers) ListConsumers(ctx context.Context, r wireserver.ListConsumersRequestObject) (wireserver.ListConsumersResponseObject, error) {
	list, next, err := h.broker.ListConsumers(ctx, topicName(r.Topic), consumerID(valueOf(r.Params.After)), count(r.Params.Limit))
	if err != nil {
		return nil, err
	}
	return wireserver.ListConsumers200JSONResponse(listConsumersResult(list, next)), nil
}

// SetOffset implements wireserver.StrictServerInterface.
func (h *handlers) SetOffset(ctx context.Context, r wireserver.SetOffsetRequestObject) (wireserver.SetOffsetResponseObject, error) {
	request, err := setOffsetRequest(r.Body)
	if err != nil {
		return nil, err
	}
	consumer, err := h.broker.SetOffset(ctx, request)
	if err != nil {
		return nil, err
	}
	return wireserver.SetOffset200JSONResponse(setOffsetResult(&consumer)), nil
}

// CountUnread implements wireserver.StrictServerInterface.
func (h *handlers) CountUnread(ctx context.Context, r wireserver.CountUnreadRequestObject) (wireserver.CountUnreadResponseObject, error) {
	n, err := h.broker.Size(ctx, topicName(r.Params.Topic), consumerID(r.Params.ConsumerID))
	if err != nil {
		return nil, err
	}
	return wireserver.CountUnread200JSONResponse(countUnreadResult(n)), nil
}
