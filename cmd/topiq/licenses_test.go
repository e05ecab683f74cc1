package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// compiledIn lists the modules that the program is made of, each with its version, and itself aside.
func compiledIn(t *testing.T) (modules []string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps",
		"-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	modules = strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(modules)
	return slices.DeleteFunc(slices.Compact(modules), func(m string) bool { return m == "" })
}

// TestLicenses checks that no module is without its licence. `make gen` writes them.
func TestLicenses(t *testing.T) {
	t.Parallel()
	text := mustTopiq(t, "", "licenses")
	lines := strings.Split(text, "\n")
	modules := compiledIn(t)
	if len(modules) < 20 {
		t.Fatalf("go list tells of %d modules only", len(modules))
	}
	for _, module := range append(modules, "github.com/topiq/topiq", "Go, its runtime and standard library") {
		if !slices.Contains(lines, module) {
			t.Errorf("the licence of %s is missing: run make gen", module)
		}
	}
	for _, words := range []string{"Apache License", "Redistribution and use in source and binary forms", "Permission is hereby granted"} {
		if !strings.Contains(text, words) {
			t.Errorf("there is no licence with the words %q", words)
		}
	}
}
