//go:build !race

package apitest

// RaceDetector is whether this was built with it: everything takes ten times as long then, and much more memory. Tests
// of large numbers make them smaller, and make test runs those once more without it.
const RaceDetector = false
