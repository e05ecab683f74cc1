package main

import (
	"context"
	"fmt"
	"os"

	"github.com/topiq/topiq/db"
)

// storeBackupCommand is `topiq store backup`.
type storeBackupCommand struct {
	Store string `default:"sqlite:topiq.db" help:"The store, sqlite:FILE. A broker may serve it."`
	File  string `arg:"" help:"Where to write the copy. There must be nothing yet."`
}

// Help says more than the help of the flags; kong calls it.
func (*storeBackupCommand) Help() string {
	return "The copy is one state of all topics, and is synced. A broker on the store goes on serving; its write-ahead log " +
		"grows until the copy is there. Put in the place of the store, with the broker stopped, the copy is " +
		"recognised as another history, and topics get new incarnations. PostgreSQL has ways of its own: pg_dump, " +
		"pg_basebackup."
}

// Run writes the copy.
func (c *storeBackupCommand) Run(ctx context.Context, s streams) error {
	if err := db.Backup(ctx, c.Store, c.File); err != nil {
		return err
	}
	info, err := os.Stat(c.File)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s has a copy of %s, %d bytes; topiq store check --store=sqlite:%s checks it\n",
		c.File, db.Redact(c.Store), info.Size(), c.File)
	return err
}
