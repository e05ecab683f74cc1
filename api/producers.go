package api

import (
	"context"

	"github.com/topiq/topiq/gen/wireserver"
)

// RegisterProducer implements wireserver.StrictServerInterface.
func (h *handlers) RegisterProducer(ctx context.Context, r wireserver.RegisterProducerRequestObject) (wireserver.RegisterProducerResponseObject, error) {
	name, instance, err := registration(r.Body)
	if err != nil {
		return nil, err
	}
	producer, head, err := h.broker.RegisterProducer(ctx, topicName(r.Body.Topic), name, instance)
	if err != nil {
		return nil, err
	}
	return wireserver.RegisterProducer200JSONResponse(registerProducerResult(&producer, &head)), nil
}

// UnregisterProducer implements wireserver.StrictServerInterface.
func (h *handlers) UnregisterProducer(ctx context.Context, r wireserver.UnregisterProducerRequestObject) (wireserver.UnregisterProducerResponseObject, error) {
	if err := h.broker.UnregisterProducer(ctx, topicName(r.Body.Topic), producerID(r.Body.ProducerID)); err != nil {
		return nil, err
	}
	return wireserver.UnregisterProducer200JSONResponse(unregisterProducerResult(r.Body.ProducerID)), nil
}

// DescribeProducer implements wireserver.StrictServerInterface.
func (h *handlers) DescribeProducer(ctx context.Context, r wireserver.DescribeProducerRequestObject) (wireserver.DescribeProducerResponseObject, error) {
	producer, err := h.broker.ProducerState(ctx, topicName(r.Params.Topic), r.Params.ProdName)
	if err != nil {
		return nil, err
	}
	return wireserver.DescribeProducer200JSONResponse(producerResult(&producer)), nil
}

// ListProducers implements wireserver.StrictServerInterface.
func (h *handlers) ListProducers(ctx context.Context, r wireserver.ListProducersRequestObject) (wireserver.ListProducersResponseObject, error) {
	list, next, err := h.broker.ListProducers(ctx, topicName(r.Topic), producerID(valueOf(r.Params.After)), count(r.Params.Limit))
	if err != nil {
		return nil, err
	}
	return wireserver.ListProducers200JSONResponse(listProducersResult(list, next)), nil
}

// CountProduced implements wireserver.StrictServerInterface.
func (h *handlers) CountProduced(ctx context.Context, r wireserver.CountProducedRequestObject) (wireserver.CountProducedResponseObject, error) {
	n, err := h.broker.CountProduced(ctx, r.Params.ProdName, topicName(valueOf(r.Params.Topic)))
	if err != nil {
		return nil, err
	}
	return wireserver.CountProduced200JSONResponse(countProducedResult(n)), nil
}
