package nemesis

// diskNemeses are those that work on file systems, standbys and control groups.
func diskNemeses() []Nemesis { return nil }
