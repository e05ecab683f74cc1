package pgproxy

import (
	"bufio"
	"io"
	"time"
)

// fromClient forwards what the client sends.
func (c *conn) fromClient(in *source) error {
	known := newStatements()
	out := bufio.NewWriterSize(c.server, bufferBytes)
	for {
		f, err := in.next()
		if err != nil {
			return err
		}
		commit := known.commits(f)
		act := func() (pass bool, err error) {
			if pass = true; commit {
				pass, err = c.beforeCommit(f, in, out)
			}
			if pass && endsRoundTrip(f.kind) {
				c.countTrip() // before the answer can come
			}
			return pass, err
		}
		if err := c.forward(f, in, out, act); err != nil {
			return err
		}
	}
}

// fromServer forwards what the server sends.
func (c *conn) fromServer() error {
	in, out := newSource(c.server), bufio.NewWriterSize(c.client, bufferBytes)
	trips := -1 // the server is ready once before the first is sent
	for {
		f, err := in.next()
		if err != nil {
			return err
		}
		act := func() (bool, error) { return true, nil }
		switch {
		case f.kind == 'Z':
			trips++
		case f.kind == 'A':
			act = func() (bool, error) { return c.proxy.passNotification(), nil }
		case answersCommit(f):
			if action := c.disarm(trips + 1); action.Kind != "" {
				act = func() (bool, error) { return c.afterCommit(action, f, out) }
			}
		}
		if err := c.forward(f, in, out, act); err != nil {
			return err
		}
	}
}

// forward waits for the delay, lets act decide whether the message goes on, and passes it or swallows it.
func (c *conn) forward(f frame, in *source, out *bufio.Writer, act func() (bool, error)) error {
	if late := time.Until(f.arrived.Add(c.proxy.currentDelay())); late > 0 {
		if err := c.pause(late, out); err != nil {
			return err
		}
	}
	pass := false
	if !c.swallow(len(f.raw) + int(f.rest)) {
		var err error
		if pass, err = act(); err != nil {
			return err
		}
	}
	if !pass || c.swallow(0) { // act may have opened the hole
		_, err := io.CopyN(io.Discard, in.in, f.rest)
		return err
	}
	if _, err := out.Write(f.raw); err != nil {
		return err
	}
	if _, err := io.CopyN(out, in.in, f.rest); err != nil {
		return err
	}
	if in.in.Buffered() == 0 {
		return out.Flush()
	}
	return nil
}

// pause lets what was sent before arrive before it.
func (c *conn) pause(d time.Duration, out *bufio.Writer) error {
	if err := out.Flush(); err != nil {
		return err
	}
	return c.wait(d)
}

// beforeCommit does what the policy says on this side of a COMMIT, and says whether it is forwarded.
func (c *conn) beforeCommit(f frame, in *source, out *bufio.Writer) (bool, error) {
	c.proxy.mu.Lock()
	c.commits++
	commit := Commit{Connection: c.id, Number: c.commits}
	c.proxy.mu.Unlock()
	switch action := c.proxy.decide(commit); action.Kind {
	case CutBefore:
		c.proxy.did(action.Kind)
		c.cut(action.Reset)
		return false, errCut
	case CutAfter:
		if err := flushed(f, in, out); err != nil {
			return false, err
		}
		c.proxy.did(action.Kind)
		c.cut(action.Reset)
		return false, errCut
	case HoldBefore:
		c.proxy.did(action.Kind)
		return true, c.pause(action.For, out)
	case BlackHoleBefore:
		if err := out.Flush(); err != nil { // what came before it has arrived: the locks are taken
			return false, err
		}
		c.proxy.did(action.Kind)
		c.fall(action.For)
		return false, nil
	case DropAnswer, CutAnswer, HoldAfter, BlackHoleAfter:
		c.arm(action)
		return true, nil
	default:
		c.proxy.did(Pass)
		return true, nil
	}
}

// flushed forwards the COMMIT now, with what ends its round trip if it has come, since that may be what
// a server waits for.
func flushed(f frame, in *source, out *bufio.Writer) error {
	if _, err := out.Write(f.raw); err != nil {
		return err
	}
	if n := in.in.Buffered(); n > 0 {
		if _, err := io.CopyN(out, in.in, int64(n)); err != nil {
			return err
		}
	}
	return out.Flush()
}

// afterCommit does what the policy said to the answer of a COMMIT, and says whether it is forwarded.
func (c *conn) afterCommit(action Action, f frame, out *bufio.Writer) (bool, error) {
	if action.Kind == HoldAfter {
		c.proxy.did(action.Kind)
		return true, c.pause(action.For, out)
	}
	if err := out.Flush(); err != nil {
		return false, err
	}
	c.proxy.did(action.Kind)
	switch action.Kind {
	case CutAnswer:
		_, err := c.client.Write(f.raw[:answerBytes])
		c.cut(false)
		if err != nil {
			return false, err
		}
		return false, errCut
	case BlackHoleAfter:
		c.fall(action.For)
		return false, nil
	default:
		c.cut(action.Reset)
		return false, errCut
	}
}

// arm notes down what to do to the answer of the COMMIT that is forwarded next.
func (c *conn) arm(action Action) {
	c.proxy.mu.Lock()
	defer c.proxy.mu.Unlock()
	c.armed, c.armedTrip = action, c.sentTrips+1
}

func (c *conn) countTrip() {
	c.proxy.mu.Lock()
	defer c.proxy.mu.Unlock()
	c.sentTrips++
}

// disarm returns what was noted down for an answer in this round trip. In a round trip before that of
// the COMMIT an error is about something else.
func (c *conn) disarm(trip int) Action {
	c.proxy.mu.Lock()
	defer c.proxy.mu.Unlock()
	if c.armed.Kind == "" || trip < c.armedTrip {
		return Action{}
	}
	action := c.armed
	c.armed = Action{}
	return action
}

// passNotification counts a notification, and says whether it may pass.
func (p *Proxy) passNotification() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mute {
		p.counts.Suppressed++
		return false
	}
	p.counts.Notifications++
	return true
}

func (p *Proxy) currentDelay() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.delay
}
