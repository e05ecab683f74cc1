//go:build !linux

package main

import "syscall"

// childAttributes are none: elsewhere no system ends a process with the one that started it. The
// child is stopped whenever verify ends, except when verify itself is killed.
func childAttributes() *syscall.SysProcAttr { return nil }
