//go:build !faults

package fault

import "time"

// Point is a place at which a build with the tag faults can be made to fail. In this build nothing
// happens.
func Point(string) error { return nil }

// Clock is the broker's clock where it is told to be wrong, nil where it is that of the machine, as
// in this build.
func Clock() func() time.Time { return nil }

func builtWithFaults() []string { return nil }

func checkPoints() error { return nil }
