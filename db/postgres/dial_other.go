//go:build !linux

package postgres

import "syscall"

// limitUnanswered: other systems have their own limit.
func limitUnanswered(string, string, syscall.RawConn) error { return nil }
