// Package nemesis has the faults of the suite: each Nemesis makes one kind of them while clients
// work, and every round ends with the same checks.
package nemesis

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
)

// Nemesis is one kind of fault.
type Nemesis struct {
	ID, Name string   // "N1", "kill -9 of the broker"
	Needs    []Need   // checked before the first round: what is missing makes the run fail
	Engines  []string // of SQLite, Postgres, Memory: a round is on one of them
	Cut      bool     // a round without an unknown outcome does not count
	Short    int      // rounds on each engine in the short programme, 0: it is not in it
	Faults   string   // what is counted, in the plural: "kills"
	Round    func(ctx context.Context, r *Round) error
}

// Engines.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
	Memory   = "memory"
)

// Need is something that a nemesis cannot do without.
type Need struct {
	Name string
	// Missing says what is missing and how to get it, nil if nothing is.
	Missing func() error
}

// Root is the need of the superuser.
func Root() Need {
	return Need{"root", func() error {
		if os.Geteuid() != 0 {
			return errors.New("it must be run as root")
		}
		return nil
	}}
}

// Program is the need of a program on PATH and, on Debian, its package.
func Program(name, pkg string) Need {
	return Need{"the program " + name, func() error {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: apt-get install %s, or run torture/install.sh", err, pkg)
		}
		return nil
	}}
}

// Missing says why the nemesis cannot run here; nil if it can.
func (n *Nemesis) Missing() error {
	var problems []error
	for _, need := range n.Needs {
		if err := need.Missing(); err != nil {
			problems = append(problems, fmt.Errorf("%s needs %s: %w", n.ID, need.Name, err))
		}
	}
	return errors.Join(problems...)
}

// All lists every nemesis.
func All() []Nemesis {
	return slices.Concat(processNemeses(), networkNemeses(), diskNemeses())
}

// processNemeses are those that need nothing but processes.
func processNemeses() []Nemesis {
	return append(raceBrokers(),
		killBroker(), killPostgres(), freeze(), restarts(), clockJumps(), idlePollers(), smallPool(), upgrade(), everything(),
	)
}
