package main

import "errors"

func (b *bench) prepareConsume() error  { return errors.New("not yet") }
func (b *bench) prepareEndToEnd() error { return errors.New("not yet") }
