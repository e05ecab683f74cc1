package api

import (
	"context"
	"time"

	"github.com/topiq/topiq/gen/wireserver"
	"github.com/topiq/topiq/service"
)

// readyTimeout is how long the store may take to say that it is there.
const readyTimeout = 5 * time.Second

// Health implements wireserver.StrictServerInterface: it answers, so the process is up.
func (*handlers) Health(context.Context, wireserver.HealthRequestObject) (wireserver.HealthResponseObject, error) {
	return wireserver.Health200JSONResponse{HealthyJSONResponse: wireserver.HealthyJSONResponse(healthy())}, nil
}

// Ready implements wireserver.StrictServerInterface.
func (h *handlers) Ready(ctx context.Context, _ wireserver.ReadyRequestObject) (wireserver.ReadyResponseObject, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := h.broker.Ready(ctx); err != nil {
		return nil, service.ErrUnavailable.Because(err)
	}
	return wireserver.Ready200JSONResponse{HealthyJSONResponse: wireserver.HealthyJSONResponse(healthy())}, nil
}

// Info implements wireserver.StrictServerInterface.
func (h *handlers) Info(context.Context, wireserver.InfoRequestObject) (wireserver.InfoResponseObject, error) {
	return wireserver.Info200JSONResponse(infoResult(h.broker.Properties(), &h.limits, &h.config)), nil
}
