//go:build sbom

package main

import (
	"debug/buildinfo"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// TestSBOM compares what `make sbom` has written with what the linker has put into the program.
func TestSBOM(t *testing.T) {
	t.Parallel()
	info, err := buildinfo.ReadFile(filepath.Join(docsRoot, "bin", "topiq"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(docsRoot, "bin", "topiq.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bom struct {
		Format   string `json:"bomFormat"`
		Metadata struct {
			Component struct{ Name string }
		}
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal(text, &bom); err != nil {
		t.Fatal(err)
	}
	if bom.Format != "CycloneDX" || bom.Metadata.Component.Name != module {
		t.Errorf("it is a %q of %q", bom.Format, bom.Metadata.Component.Name)
	}
	listed := map[string]string{}
	for _, c := range bom.Components {
		listed[c.Name] = c.Version
		if c.PURL == "" {
			t.Errorf("%s has no package URL", c.Name)
		}
	}
	if len(info.Deps) < 20 {
		t.Fatalf("the program tells of %d modules only", len(info.Deps))
	}
	for _, dep := range info.Deps {
		if listed[dep.Path] != dep.Version {
			t.Errorf("%s %s is listed as %q", dep.Path, dep.Version, listed[dep.Path])
		}
	}
	if listed["std"] != info.GoVersion {
		t.Errorf("Go %s is listed as %q", info.GoVersion, listed["std"])
	}
}
