package pgproxy

import "maps"

// Counts is what a proxy has done so far.
type Counts struct {
	Connections   int64          // forwarded to the server
	Refused       int64          // while RefuseNew was on
	Unreachable   int64          // the server could not be dialled
	Cancels       int64          // requests to cancel a statement
	Commits       int64          // seen, whatever became of them
	Kinds         map[Kind]int64 // what became of them
	CutAll        int64          // connections cut by CutAll
	HoleCut       int64          // connections cut at the end of a black hole
	Swallowed     int64          // bytes that fell into a black hole
	Notifications int64          // of LISTEN, forwarded
	Suppressed    int64          // of LISTEN, dropped
}

// Faults is the number of COMMITs to which something other than passing has happened.
func (c Counts) Faults() int64 {
	total := int64(0)
	for kind, n := range c.Kinds {
		if kind != Pass {
			total += n
		}
	}
	return total
}

// Counts returns a copy.
func (p *Proxy) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.counts
	c.Kinds = maps.Clone(c.Kinds)
	return c
}

// count changes the counts.
func (p *Proxy) count(change func(*Counts)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.counts)
}

func (p *Proxy) did(kind Kind) { p.count(func(c *Counts) { c.Kinds[kind]++ }) }
