// Package fault lets the fault suite break a broker at chosen places. In an ordinary build it is
// empty: its functions are constants that the compiler removes, and no environment is read.
//
// With the build tag faults, TOPIQ_FAULTS says what happens at which fault point, as a list of
//
//	NAME=ACTION[:ARGUMENT][@PROBABILITY]
//
// separated by commas, such as
//
//	TOPIQ_FAULTS=produce.before_commit=kill@0.01,group.before_flush=sleep:5ms
//
// The actions are kill (SIGKILL to the own process), panic, sleep:DURATION, and error, which makes
// the step fail in the way that is true at its place: nothing was committed before a COMMIT, and the
// outcome is unknown after it. An entry without a probability happens each time. A name may be there
// several times: its entries are tried in order until one fails the step.
//
// TOPIQ_CLOCK_FILE names a file with the duration by which the broker's clock is wrong, such as -1h.
// It is read again while the broker runs, and no file is no error of the clock.
//
// With the build tag badideas, TOPIQ_MISTAKE names the mistakes to make, separated by commas: each
// is a classic one, which the suite must find.
//
// A binary with either tag says so in its version and in /info.
package fault

// Unsafe lists the tags this program was built with, as operators are told of them: nothing in an
// ordinary build.
func Unsafe() []string { return append(builtWithFaults(), builtWithMistakes()...) }

// Check answers an error when the environment asks for what there is not: a name, an action, an
// argument. A program calls it first of all. Afterwards Point and Mistake panic for the same.
func Check() error {
	if err := checkPoints(); err != nil {
		return err
	}
	return checkMistakes()
}
