//go:build !unix

package sqlite

import "io/fs"

func links(fs.FileInfo) uint64 { return 1 }

// syncDir does nothing: there, a directory cannot be synced.
func syncDir(string) error { return nil }
