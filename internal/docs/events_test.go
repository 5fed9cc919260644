package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Only pointers are events, so a case of a type switch that forgets the star does not compile. Each
// EventName has a pointer receiver and returns the package and the type, and no struct gets one by
// an embedded pointer.
func TestOnlyPointersAreEvents(t *testing.T) {
	root := filepath.Join("..", "..")
	events := map[string]bool{} // "http.Head"
	var files []*ast.File
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root:
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, file)
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv != nil && f.Name.Name == "EventName" {
				if name := eventOf(t, path, file, f); name != "" {
					events[name] = true
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(events) < 30 {
		t.Errorf("%d events were found", len(events))
	}
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.StructType)
			if !ok {
				return true
			}
			for _, f := range s.Fields.List {
				star, ok := f.Type.(*ast.StarExpr)
				if ok && len(f.Names) == 0 && events[qualified(file, star.X)] {
					t.Errorf("a struct of package %s embeds a pointer to the event %s, and is one by that", file.Name, qualified(file, star.X))
				}
			}
			return true
		})
	}
}

// eventOf checks one EventName, and returns what it returns.
func eventOf(t *testing.T, path string, file *ast.File, f *ast.FuncDecl) string {
	star, ok := f.Recv.List[0].Type.(*ast.StarExpr)
	if !ok {
		t.Errorf("%s: an EventName has no pointer receiver", path)
		return ""
	}
	want := qualified(file, star.X)
	got := ""
	if r, ok := f.Body.List[0].(*ast.ReturnStmt); ok {
		if lit, ok := r.Results[0].(*ast.BasicLit); ok {
			got, _ = strconv.Unquote(lit.Value)
		}
	}
	if got != want {
		t.Errorf("%s: EventName of %s returns %q", path, want, got)
	}
	return want
}

// qualified returns the name of a type of the file with its package.
func qualified(file *ast.File, x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		return file.Name.Name + "." + x.Name
	case *ast.SelectorExpr:
		if p, ok := x.X.(*ast.Ident); ok {
			return p.Name + "." + x.Sel.Name
		}
	}
	return ""
}
