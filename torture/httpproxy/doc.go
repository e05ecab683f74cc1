// Package httpproxy is a proxy between clients and a broker that loses, repeats and delays requests and
// answers.
//
// It reads each request whole and asks a [Policy] what becomes of it: it can be dropped, cut once the
// broker has it, answered in vain or in part, sent twice, or delivered long after its client was told
// that the connection is gone. A client sees nothing that a bad network could not do: an answer that
// arrives whole was given by the broker to this very request.
//
// What happened is counted by kind when it happened. The broker's own view of the copies that came late
// is counted by status.
package httpproxy
