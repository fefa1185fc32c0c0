package main_test

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

// unrecorded are the Store methods that write without an entry, and why.
var unrecorded = map[string]string{
	"account.Session":           "notes that a session is in use",
	"account.EraseDeleted":      "goes on with a deletion that is recorded, and records its end in the name of who asked for it",
	"account.Sweep":             "removes sessions and links that have run out",
	"account.SumRefused":        "the system records what it takes, in entries of its own",
	"keyring.Choose":            "lists keys for a batch, and changes none",
	"keyring.Undo":              "makes the batch that undoes another; running it is recorded",
	"keyring.KeepImport":        "keeps a file for its preview; importing it is recorded",
	"keyring.SweepImports":      "removes previews that have run out",
	"account.SetupLink":         "there is nobody yet; the link's use is recorded",
	"account.CountReset":        "counts what an address asks for, and knows no account",
	"account.BeginSecondFactor": "makes a secret that counts for nothing; confirming it is recorded",
}

var writes = regexp.MustCompile(`(?s)\b(INSERT INTO|UPDATE|DELETE FROM)\s+[a-z_]+`)

// A method is an exported method of a Store, with all that it reaches in its package.
type method struct {
	takesActor, writes, records bool
}

// TestStoresRecordWhatTheyChange reads the source: an exported method of a Store
// that writes takes an actor and reaches audit.Record. Pages, programs and commands
// all change through these methods.
func TestStoresRecordWhatTheyChange(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, pkg := range []string{"account", "keyring", "evidence"} {
		for name, m := range storeMethods(t, pkg) {
			reason := unrecorded[pkg+"."+name]
			switch silent := m.writes && (!m.takesActor || !m.records); {
			case silent != (reason != ""):
				t.Errorf("%s.Store.%s writes: %v, takes an actor: %v, records: %v; excepted because %q", pkg, name, m.writes, m.takesActor, m.records, reason)
			case m.takesActor && m.writes && m.records:
				seen++
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d methods change something: the test does not see them", seen)
	}
}

func storeMethods(t *testing.T, pkg string) map[string]method {
	t.Helper()
	bodies, found := map[string]string{}, map[string]method{}
	stores := map[string]*ast.FuncDecl{}
	for _, decl := range functions(t, filepath.Join("..", "..", "internal", pkg), bodies) {
		if decl.Recv != nil && decl.Name.IsExported() && strings.Contains(receiver(decl), "Store") {
			stores[decl.Name.Name] = decl
		}
	}
	for name, decl := range stores {
		text := reach(name, bodies, map[string]bool{})
		m := method{writes: writes.MatchString(text), records: strings.Contains(text, "audit.Record")}
		for _, field := range decl.Type.Params.List {
			if s, ok := field.Type.(*ast.SelectorExpr); ok && s.Sel.Name == "Actor" {
				m.takesActor = true
			}
		}
		found[name] = m
	}
	return found
}

func receiver(decl *ast.FuncDecl) string {
	if star, ok := decl.Recv.List[0].Type.(*ast.StarExpr); ok {
		if name, ok := star.X.(*ast.Ident); ok {
			return name.Name
		}
	}
	return ""
}

// functions lists a package's functions, and notes the text of each by its name.
func functions(t *testing.T, dir string, bodies map[string]string) (all []*ast.FuncDecl) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(set, path, source, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			from, to := set.Position(decl.Pos()).Offset, set.Position(decl.End()).Offset
			if f, ok := decl.(*ast.FuncDecl); ok {
				bodies[f.Name.Name] += string(source[from:to])
				all = append(all, f)
			}
		}
	}
	return all
}

var called = regexp.MustCompile(`\b([A-Za-z]\w*)\(`)

// reach returns the text of a function and of those that it calls in its package.
func reach(name string, bodies map[string]string, been map[string]bool) string {
	body, ok := bodies[name]
	if !ok || been[name] {
		return ""
	}
	been[name] = true
	text := body
	for _, call := range called.FindAllStringSubmatch(body, -1) {
		text += reach(call[1], bodies, been)
	}
	return text
}
