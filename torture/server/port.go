package server

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// FreePort is a port of 127.0.0.1 that nobody listens on now. It is outside the range from which
// the kernel picks the near ends of connections: a server that is restarted would find its port
// taken by one.
func FreePort() (int, error) {
	const lowest, highest = 20000, 32000
	for range 200 {
		port := lowest + rand.IntN(highest-lowest)
		//nolint:noctx // it does not wait
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no port between 20000 and 32000 is free")
}
