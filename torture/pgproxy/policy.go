package pgproxy

import (
	"math/rand/v2"
	"time"
)

// Kind is what happens to one COMMIT.
type Kind string

// The kinds. Before and after mean: before the COMMIT was forwarded to the server, and after it was.
const (
	Pass       Kind = "pass"
	CutBefore  Kind = "cut before commit" // The server never sees the COMMIT, and rolls back.
	CutAfter   Kind = "cut after commit"  // Forwarded and cut at once: the server may still be at it, or never begin.
	DropAnswer Kind = "drop the answer"   // The server has answered: it has committed, or has said why not.
	CutAnswer  Kind = "cut the answer"    // Likewise; three bytes of it arrive.
	HoldBefore Kind = "hold commit"
	HoldAfter  Kind = "hold the answer"
	// BlackHoleBefore and BlackHoleAfter make the connection swallow what both sides send from here on,
	// accept it as a network would, and tell neither of the end of the other. When the time is over it is
	// cut. After: the answer is the first thing that is swallowed.
	BlackHoleBefore Kind = "black hole before commit"
	BlackHoleAfter  Kind = "black hole after commit"
)

// answerBytes is how much of an answer CutAnswer lets through: less than the head of one message.
const answerBytes = 3

// Action is what a policy decides.
type Action struct {
	Kind Kind
	For  time.Duration // how long a hold or a black hole lasts
	// Reset ends the connection to the client with RST in place of FIN. CutAnswer ignores it: with RST
	// the client's system may throw away what has arrived.
	Reset bool
}

// Commit tells a policy which COMMIT it decides about.
type Commit struct {
	Connection int64 // 1, 2, … in the order in which clients have connected
	// Number is 1, 2, … on this connection. A broker commits a barrier first on each of its own.
	Number int
}

// Policy decides about each COMMIT. It is called by one goroutine at a time and must not block. The
// random numbers come from the seed of the proxy, but which COMMIT asks first is up to the brokers.
type Policy func(*rand.Rand, Commit) Action

// PassAll lets every COMMIT through.
func PassAll(*rand.Rand, Commit) Action { return Action{Kind: Pass} }

// Some does one of the actions, each as likely as the others, to this share of the COMMITs (0 to 1).
// Cuts are by RST and by FIN in turn of a coin, whatever the actions say.
func Some(share float64, actions ...Action) Policy {
	return func(r *rand.Rand, _ Commit) Action {
		if len(actions) == 0 || r.Float64() >= share {
			return Action{Kind: Pass}
		}
		action := actions[r.IntN(len(actions))]
		action.Reset = r.IntN(2) == 0
		return action
	}
}
