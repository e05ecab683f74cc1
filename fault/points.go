//go:build faults

package fault

// Points are all fault points, each with the place where it lies. The steps of a produce are those
// of P3.
func Points() map[string]string {
	return map[string]string{
		"produce.before_begin":              "the group has a connection, and no transaction yet",
		"produce.after_lock":                "the heads and the producers are locked and read",
		"produce.after_check":               "the group is decided, and nothing of it is written",
		"produce.after_insert":              "the messages are inserted; on PostgreSQL the rest of the writes is on its way too",
		"produce.before_commit":             "all is written, and COMMIT is not sent",
		"produce.after_commit_before_reply": "COMMIT has succeeded; an error is an answer to it that was lost",
		"produce.mid_reply":                 "half of an answer to a produce is sent; an error cuts the connection there",

		"group.before_flush":              "a group of produces is formed, and the store does not know of it",
		"group.after_flush_before_fanout": "a group is committed for certain, and nobody is answered",

		"offset.before_commit": "positions are written in a transaction, and COMMIT is not sent",
		"offset.after_commit":  "positions are committed, and the caller is not answered",

		"notify.lost":               "an error loses a wake-up for what other brokers have appended",
		"shutdown.draining":         "calls are refused, and what is queued is being finished",
		"migrate.between_steps":     "one migration of the schema is done",
		"retention.between_batches": "a first offset was moved, or a batch of rows that nothing leads to any more was removed",
	}
}
