package views

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"
)

// TestTrailWords reads what the audit package declares, so that an action added
// there can't be shown as its stored name.
func TestTrailWords(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "../internal/audit/action.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for _, value := range spec.Values {
			action, err := strconv.Unquote(value.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			declared[action] = true
			if text := actionText(action); text == action {
				t.Errorf("the trail has no words for %s", action)
			}
		}
		return true
	})
	if len(declared) < 40 {
		t.Fatalf("found %d actions: are they declared elsewhere now?", len(declared))
	}
	for action := range actionTexts {
		if !declared[action] {
			t.Errorf("the trail has words for %s, which is no action", action)
		}
	}
}
