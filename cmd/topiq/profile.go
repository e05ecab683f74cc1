package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
)

// profileFlag is --cpu-profile.
type profileFlag struct {
	CPUProfile string `name:"cpu-profile" placeholder:"FILE" help:"Write into this file, when it ends, where the process has spent its time, for go tool pprof."`
}

// profile profiles the process until stop is called.
func (f profileFlag) profile() (stop func() error, err error) {
	if f.CPUProfile == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(f.CPUProfile)
	if err != nil {
		return nil, fmt.Errorf("--cpu-profile: %w", err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(fmt.Errorf("--cpu-profile: %w", err), file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.Close()
	}, nil
}
