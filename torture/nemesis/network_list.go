package nemesis

import "slices"

// networkNemeses are those that work through proxies, or as clients that mean no good.
func networkNemeses() []Nemesis {
	return slices.Concat(
		cutCommit(), blackHole(), lostAnswers(), slowDatabase(), slowClients(), hostileBodies(), wakeUp(),
	)
}
