//go:build badideas

package fault

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// mistakeVariable is the variable with the names of the mistakes to make.
const mistakeVariable = "TOPIQ_MISTAKE"

// Mistakes are all classic mistakes that can be made, each with what is done wrong.
func Mistakes() map[string]string {
	return map[string]string{
		"ack_before_commit":         "a produce is answered when it is written, 5 ms before its COMMIT is sent",
		"commit_on_request_context": "COMMIT ends with its request after 2 s: the wait for the standby is cancelled, and success with a warning taken for success",
		"consume_advances_at_read":  "consume with an offset commits what it answers, as if the answer could not be lost",
		"dedupe_before_lock":        "what is stored under a seq is looked up before the head is locked",
		"dedupe_in_one_statement":   "what is stored under a seq is looked up in the snapshot of the statement that locks the head",
		"duplicate_without_write":   "a duplicate is answered from a transaction that writes nothing",
		"epoch_not_checked":         "a produce of an earlier session is not refused",
		"identity_ignored":          "a database that was put back or failed over is not looked for",
		"invalid_utf8_replaced":     "bytes of a JSON string that are not UTF-8 are replaced instead of refused",
		"no_dedupe":                 "a seq is neither looked up nor stored, so that a retry stores the message again",
		"notify_only":               "other brokers' appends are not looked for: what no wake-up has told of is not there",
		"offset_from_sequence":      "offsets are taken from a counter without a lock, so that commits show in another order",
		"sqlite_delete_full":        "SQLite with a rollback journal and synchronous=FULL, which does not sync the directory when the journal is deleted",
		"sqlite_ignore_ioerr":       "SQLite goes on writing after an error of the disk",
		"sqlite_synchronous_normal": "SQLite with a WAL and synchronous=NORMAL, which does not sync at a commit",
		"unknown_is_failure":        "an unknown outcome of a produce is answered as a refusal",
		"xact_status_as_judge":      "an unknown outcome of a produce is taken for a success when pg_xact_status says committed",
	}
}

// Mistake reports whether a classic mistake is to be made: whether TOPIQ_MISTAKE names it.
func Mistake(name string) bool {
	if Mistakes()[name] == "" {
		panic("fault: there is no mistake " + name)
	}
	return slices.Contains(strings.Split(os.Getenv(mistakeVariable), ","), name)
}

func builtWithMistakes() []string { return []string{"built with badideas"} }

func checkMistakes() error {
	text := os.Getenv(mistakeVariable)
	if text == "" {
		return nil
	}
	for name := range strings.SplitSeq(text, ",") {
		if Mistakes()[name] == "" {
			return fmt.Errorf("%s: there is no mistake %q", mistakeVariable, name)
		}
	}
	return nil
}
