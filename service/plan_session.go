package service

import "slices"

// fencedKept is how many earlier instances a producer remembers (P2).
const fencedKept = 8

// OpenSession opens a session of a named producer (P2). row is the producer as read under its
// lock, with epoch 0 if the name was never registered.
//
// The token instance tells a retry from a newcomer. Repeated while its session is the current
// one it gets the same epoch again, so a lost answer is harmless. A token that held an earlier
// session is a late copy of an old register: it is refused, for it must not fence the living.
func OpenSession(row Producer, instance string) (Producer, error) {
	if instance != "" && row.Epoch > 0 && instance == row.Instance {
		return row, nil
	}
	if instance != "" && slices.Contains(row.Fenced, instance) {
		return Producer{}, errProducerFenced(row.Epoch)
	}
	row = CloseSession(row)
	row.Instance = instance
	return row, nil
}

// CloseSession ends the current session of a named producer: the epoch grows, the token of the
// session moves to those that are refused. NextSeq is never forgotten (P1).
func CloseSession(row Producer) Producer {
	fenced := slices.Clone(row.Fenced)
	if row.Instance != "" {
		fenced = append(fenced, row.Instance)
	}
	if extra := len(fenced) - fencedKept; extra > 0 {
		fenced = fenced[extra:]
	}
	row.Fenced = fenced
	row.Instance = ""
	row.Epoch++
	return row
}
