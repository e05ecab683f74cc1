//go:build !race

package main

// raceDetector is whether this was built with it, and so is ten times as slow.
const raceDetector = false
