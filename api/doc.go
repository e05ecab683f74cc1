// Package api is the HTTP side of the broker: it checks what came in, calls package service, and
// writes what comes out. It decides nothing about messages.
//
// A request takes this way:
//
//	server.ServeHTTP   headers of every answer, request id, recover, access log  (middleware.go)
//	server.admit       Host, origin                                              (security.go)
//	                   which operation of the document is it                     (operations.go)
//	                   the body, whole, within limits and time                   (body.go)
//	                   shapes of older clients become canonical ones             (compat.go)
//	                   query parameters                                          (query.go)
//	echo, wireserver   routing and binding; the body is decoded strictly         (json.go)
//	handlers           one call of the broker                  (topics.go … messages.go, health.go)
//	server.fail        the only place where an error becomes an answer           (errors.go)
//
// All types of echo stay inside this package, so that another router is a change of one package.
// openapi.yaml is the contract: routes, parameters and required members are taken from it, and
// package apitest checks every request and answer of the tests against it.
package api
