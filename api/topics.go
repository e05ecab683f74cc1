package api

import (
	"context"

	"github.com/topiq/topiq/gen/wireserver"
)

// CreateTopic implements wireserver.StrictServerInterface.
func (h *handlers) CreateTopic(ctx context.Context, r wireserver.CreateTopicRequestObject) (wireserver.CreateTopicResponseObject, error) {
	head, err := h.broker.CreateTopic(ctx, topicName(r.Body.Name), topicChange(r.Body.Retention, r.Body.Quota))
	if err != nil {
		return nil, err
	}
	return wireserver.CreateTopic200JSONResponse(createTopicResult(head)), nil
}

// ListTopics implements wireserver.StrictServerInterface.
func (h *handlers) ListTopics(ctx context.Context, r wireserver.ListTopicsRequestObject) (wireserver.ListTopicsResponseObject, error) {
	p := r.Params
	names, next, err := h.broker.VisibleTopics(ctx, visibleTo(ctx), valueOf(p.Prefix), topicName(valueOf(p.After)), count(p.Limit))
	if err != nil {
		return nil, err
	}
	return wireserver.ListTopics200JSONResponse(listTopicsResult(names, next)), nil
}

// DescribeTopic implements wireserver.StrictServerInterface.
func (h *handlers) DescribeTopic(ctx context.Context, r wireserver.DescribeTopicRequestObject) (wireserver.DescribeTopicResponseObject, error) {
	state, err := h.broker.DescribeTopic(ctx, topicName(r.Topic))
	if err != nil {
		return nil, err
	}
	return wireserver.DescribeTopic200JSONResponse(topicResult(&state)), nil
}

// UpdateTopic implements wireserver.StrictServerInterface.
func (h *handlers) UpdateTopic(ctx context.Context, r wireserver.UpdateTopicRequestObject) (wireserver.UpdateTopicResponseObject, error) {
	state, err := h.broker.UpdateTopic(ctx, topicName(r.Topic), topicChange(r.Body.Retention, r.Body.Quota))
	if err != nil {
		return nil, err
	}
	return wireserver.UpdateTopic200JSONResponse(topicResult(&state)), nil
}

// DeleteTopic implements wireserver.StrictServerInterface.
func (h *handlers) DeleteTopic(ctx context.Context, r wireserver.DeleteTopicRequestObject) (wireserver.DeleteTopicResponseObject, error) {
	if err := h.broker.DeleteTopic(ctx, topicName(r.Topic)); err != nil {
		return nil, err
	}
	return wireserver.DeleteTopic200JSONResponse(deleteTopicResult(r.Topic)), nil
}
