package nemesis

// networkNemeses are those that work through proxies.
func networkNemeses() []Nemesis { return nil }
