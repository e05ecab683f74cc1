package sqlite

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// The driver is C translated to Go, and works with the very libc it was translated with: another
// one compiles, and fails in ways of its own.
func TestLibcIsTheOneTheDriverWasMadeWith(t *testing.T) {
	t.Parallel()
	built := goTool(t, "list", "-m", "-f", "{{.Version}}", "modernc.org/libc")
	file := goTool(t, "list", "-m", "-f", "{{.GoMod}}", "modernc.org/sqlite")
	var driver struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal([]byte(goTool(t, "mod", "edit", "-json", file)), &driver); err != nil {
		t.Fatal(err)
	}
	for _, r := range driver.Require {
		if r.Path == "modernc.org/libc" {
			if r.Version != built {
				t.Errorf("built with libc %s, modernc.org/sqlite wants %s: go get modernc.org/libc@%s",
					built, r.Version, r.Version)
			}
			return
		}
	}
	t.Error("modernc.org/sqlite does not name its libc")
}

func goTool(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", args...).Output()
	if err != nil {
		t.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out))
}
