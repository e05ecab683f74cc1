package postgres

import "syscall"

// tcpUserTimeout is TCP_USER_TIMEOUT of tcp(7), which package syscall does not have everywhere.
const tcpUserTimeout = 18

// limitUnanswered bounds how long what was sent may stay unacknowledged, where the kernel can: otherwise
// a COMMIT sent to a server that has vanished waits a quarter of an hour.
func limitUnanswered(network, _ string, conn syscall.RawConn) error {
	if network == "unix" {
		return nil
	}
	return conn.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(unansweredLimit.Milliseconds()))
	})
}
