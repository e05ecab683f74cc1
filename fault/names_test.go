//go:build faults && badideas

package fault_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/topiq/topiq/fault"
)

// TestNames: what the product asks for is listed, and what is listed is asked for.
func TestNames(t *testing.T) {
	t.Parallel()
	used := usedNames(t)
	for function, listed := range map[string]map[string]string{"Point": fault.Points(), "Mistake": fault.Mistakes()} {
		names := slices.Sorted(maps.Keys(used[function]))
		for _, name := range names {
			if listed[name] == "" {
				t.Errorf("fault.%s(%q) is not listed", function, name)
			}
		}
		for name, meaning := range listed {
			if !slices.Contains(names, name) {
				t.Errorf("%s is listed for fault.%s, and nothing asks for it", name, function)
			}
			if len(meaning) < 20 {
				t.Errorf("%s: %q says nothing", name, meaning)
			}
		}
	}
}

// usedNames reads the sources of the module: the names given to each function of package fault.
func usedNames(t *testing.T) map[string]map[string]bool {
	t.Helper()
	used := map[string]map[string]bool{"Point": {}, "Mistake": {}}
	root := ".."
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && path != root && (name == "fault" || name == "node_modules" || name[0] == '.') {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			function, name := nameIn(n)
			if used[function] != nil {
				used[function][name] = true
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return used
}

// nameIn returns the function of package fault that is called, and the name it is given.
func nameIn(n ast.Node) (function, name string) {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return "", ""
	}
	last, ok := call.Args[len(call.Args)-1].(*ast.BasicLit)
	if !ok || last.Kind != token.STRING {
		return "", ""
	}
	name, err := strconv.Unquote(last.Value)
	if err != nil {
		return "", ""
	}
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		if of, ok := f.X.(*ast.Ident); ok && of.Name == "fault" {
			return f.Sel.Name, name
		}
	case *ast.Ident:
		if f.Name == "halfway" { // of package api: it hands the name on
			return "Point", name
		}
	}
	return "", ""
}
