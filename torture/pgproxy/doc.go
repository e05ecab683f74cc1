// Package pgproxy is a proxy between brokers and PostgreSQL that knows where a COMMIT begins and
// where its answer does.
//
// A proxy that sees bytes only cannot put a fault on a chosen side of a COMMIT. This one reads the
// messages of the protocol, finds the COMMIT, sent as a simple query or in the extended protocol, also
// in the middle of a pipeline, and asks a [Policy] what to do with it: cut the connection before it or
// after it, drop or cut its answer, hold either back, or let the connection fall into a black hole.
// Whole connections can be cut, refused, slowed down and swallowed as well.
//
// Everything it did is counted by kind when it happened, not when it was planned: a test of the test.
// It speaks no TLS: it refuses it to the client, which must then go on without.
package pgproxy
