package pgproxy

import (
	"net"
	"time"
)

// CutAll ends every connection now, and returns how many.
func (p *Proxy) CutAll() int {
	n := p.cutConns(func(*conn) bool { return true })
	p.count(func(c *Counts) { c.CutAll += int64(n) })
	return n
}

// RefuseNew makes new connections end at once, with RST, or lets them in again.
func (p *Proxy) RefuseNew(refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusing = refuse
}

// SetDelay makes every message, in both directions, arrive at least this much later than it was sent. 0
// ends it. What is sent in one piece is delayed once, as by a long line.
func (p *Proxy) SetDelay(delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = delay
}

// SuppressNotifications drops what LISTEN would deliver, or lets it through again.
func (p *Proxy) SuppressNotifications(suppress bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = suppress
}

// OpenHole lets everything fall into a black hole until CloseHole: new connections are accepted, what is
// sent is accepted, nothing arrives, and nobody is told that the other side has gone. The server is not
// dialled for connections that are new.
func (p *Proxy) OpenHole() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hole = true
}

// CloseHole ends it. Connections that have lost something cannot go on: they are cut, and their number
// is returned.
func (p *Proxy) CloseHole() int {
	p.mu.Lock()
	p.hole = false
	p.mu.Unlock()
	n := p.cutConns(func(c *conn) bool { return c.lost && !c.hole })
	p.count(func(counts *Counts) { counts.HoleCut += int64(n) })
	return n
}

// cutConns cuts those connections that are chosen, under the lock.
func (p *Proxy) cutConns(chosen func(*conn) bool) int {
	p.mu.Lock()
	var cut []*conn
	for c := range p.conns {
		if chosen(c) {
			cut = append(cut, c)
		}
	}
	p.mu.Unlock()
	for _, c := range cut {
		c.cut(true)
	}
	return len(cut)
}

// reset ends a TCP connection with RST.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
