package docs

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// Each example shows in godoc all that it needs: it uses no helper of another file. go/doc can make
// a whole program only of such an example.
func TestExamplesStandAlone(t *testing.T) {
	root := filepath.Join("..", "..")
	examples := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root:
			return fs.SkipDir
		case d.IsDir() && (d.Name() == "examples" || d.Name() == "bench"):
			return fs.SkipDir // modules of their own
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		for _, e := range doc.Examples([]*ast.File{file}...) {
			examples++
			if e.Play == nil {
				t.Errorf("%s: Example%s uses what its page does not show", path, e.Name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if examples < 100 {
		t.Errorf("%d examples were found", examples)
	}
}
