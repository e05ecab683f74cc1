//go:build !unix

package sqlite

import "errors"

func limitFileSize(uint64) (restore func(), err error) { return nil, errors.ErrUnsupported }
