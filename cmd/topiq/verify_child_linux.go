package main

import "syscall"

// childAttributes make a process that ends with the thread that started it, also when ours is
// killed and can do nothing any more; the kernel sends the signal. It is in a process group of its
// own, so that the SIGINT of a terminal asks only us to end: we still need the broker then.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
