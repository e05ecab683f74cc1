// Package licenses holds the licence texts of topiq and of all that is compiled into the program.
package licenses

import _ "embed" // for Text

// Text is all of them, each below the names of what it is for. The tool gen/tools/licenses writes it.
//
//go:embed licenses.txt
var Text string
