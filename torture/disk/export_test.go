package disk

// DropLock is what the kernel does when the owner of a disk dies.
func DropLock(d *Disk) { _ = d.run.lock.Close() }
