package evenkeel

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// names returns what the package in the directory declares, its tests included: types,
// functions, variables and constants by name, methods and fields as Type.Name.
func names(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	declared := make(map[string]bool)
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				declared[receiver(d)+d.Name.Name] = true
			case *ast.GenDecl:
				for _, s := range d.Specs {
					declare(declared, s)
				}
			}
		}
	}
	return declared
}

// receiver returns the method's type with a point behind it; empty for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	of := d.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if generic, ok := of.(*ast.IndexExpr); ok {
		of = generic.X
	}
	if name, ok := of.(*ast.Ident); ok {
		return name.Name + "."
	}
	return "?."
}

func declare(declared map[string]bool, s ast.Spec) {
	switch s := s.(type) {
	case *ast.TypeSpec:
		declared[s.Name.Name] = true
		if of, ok := s.Type.(*ast.StructType); ok {
			for _, field := range of.Fields.List {
				for _, name := range field.Names {
					declared[s.Name.Name+"."+name.Name] = true
				}
			}
		}
	case *ast.ValueSpec:
		for _, name := range s.Names {
			declared[name.Name] = true
		}
	}
}

// Every name and every file that docs/internals.md has in code type is there.
func TestInternalsNameWhatThereIs(t *testing.T) {
	text, err := os.ReadFile("docs/internals.md")
	if err != nil {
		t.Fatal(err)
	}
	packages := make(map[string]map[string]bool)
	for _, pattern := range []string{"*", "internal/*"} {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range dirs {
			if sources, _ := filepath.Glob(filepath.Join(dir, "*.go")); len(sources) > 0 {
				packages[filepath.Base(dir)] = names(t, dir)
			}
		}
	}
	identifier := regexp.MustCompile(`^([a-z]+)\.([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?)$`)
	path := regexp.MustCompile(`^[a-z_/]+(?:\.go|\.md|/)$`)
	found := 0
	for _, code := range regexp.MustCompile("`[^`\n]+`").FindAllString(string(text), -1) {
		code = strings.Trim(code, "`")
		if path.MatchString(code) {
			if _, err := os.Stat(code); err != nil {
				t.Error(err)
			}
			continue
		}
		name := identifier.FindStringSubmatch(code)
		if name == nil {
			continue
		}
		found++
		if declared, ok := packages[name[1]]; !ok {
			t.Errorf("%s: there is no package %s", code, name[1])
		} else if !declared[name[2]] {
			t.Errorf("%s is not there", code)
		}
	}
	if found == 0 {
		t.Error("no names are found")
	}
}
