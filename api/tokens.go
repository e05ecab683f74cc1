package api

import (
	"context"

	"github.com/topiq/topiq/gen/wireserver"
)

// CreateToken implements wireserver.StrictServerInterface.
func (h *handlers) CreateToken(ctx context.Context, r wireserver.CreateTokenRequestObject) (wireserver.CreateTokenResponseObject, error) {
	request, err := newToken(r.Body)
	if err != nil {
		return nil, err
	}
	token, text, err := h.broker.CreateToken(ctx, request)
	if err != nil {
		return nil, err
	}
	return wireserver.CreateToken200JSONResponse(createTokenResult(&token, text)), nil
}

// ListTokens implements wireserver.StrictServerInterface.
func (h *handlers) ListTokens(ctx context.Context, r wireserver.ListTokensRequestObject) (wireserver.ListTokensResponseObject, error) {
	list, next, err := h.broker.ListTokens(ctx, valueOf(r.Params.After), count(r.Params.Limit))
	if err != nil {
		return nil, err
	}
	return wireserver.ListTokens200JSONResponse(listTokensResult(list, next)), nil
}

// RevokeToken implements wireserver.StrictServerInterface. There is nothing at the address of a token
// that does not exist.
func (h *handlers) RevokeToken(ctx context.Context, r wireserver.RevokeTokenRequestObject) (wireserver.RevokeTokenResponseObject, error) {
	found, err := h.broker.RevokeToken(ctx, r.TokenID)
	if err == nil && !found {
		err = errNotFound
	}
	if err != nil {
		return nil, err
	}
	return wireserver.RevokeToken200JSONResponse(revokeTokenResult(r.TokenID)), nil
}
