//go:build !badideas

package fault

// Mistake reports whether a classic mistake is to be made. In this build none is.
func Mistake(string) bool { return false }

func builtWithMistakes() []string { return nil }

func checkMistakes() error { return nil }
