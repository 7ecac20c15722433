package earshot_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/earshot-io/earshot"

// mayImport is the law of ARCHITECTURE.md: which packages of ours each may
// import. Tests are bound by it less: they may import what they test with.
var mayImport = map[string][]string{
	".":                   {},
	"hub":                 {"."},
	"auth":                {"."},
	"auth/sigv4":          {"."},
	"entry":               {".", "hub"},
	"reaction":            {".", "hub"},
	"webhook":             {".", "hub", "guard"},
	"schedule":            {".", "hub"},
	"tenant":              {".", "hub", "auth", "gateway"},
	"usage":               {".", "hub"},
	"gateway":             {".", "guard"},
	"template":            {".", "gateway"},
	"gateway/invoke":      {".", "gateway", "guard", "webhook"},
	"guard":               {},
	"proto":               {".", "hub", "auth", "entry", "reaction", "schedule", "gateway"},
	"proto/hotsock":       {".", "hub", "auth", "entry", "reaction", "schedule", "proto"},
	"proto/phoenix":       {".", "hub", "auth", "proto", "longpoll"},
	"proto/gateway":       {".", "hub", "auth", "auth/sigv4", "gateway", "proto"},
	"proto/notiflux":      {".", "hub", "auth", "proto"},
	"proto/prototest":     {".", "hub", "auth", "entry", "reaction", "schedule", "proto", "transport", "ws", "stream", "longpoll", "engine/mem"},
	"epl":                 {".", "hub", "tenant"},
	"engine/mem":          {".", "hub"},
	"engine/nats":         {".", "hub"},
	"engine/enginetest":   {".", "hub"},
	"transport":           {".", "hub"},
	"ws":                  {".", "hub", "auth", "proto", "transport"},
	"stream":              {".", "hub", "proto", "transport"},
	"longpoll":            {".", "hub", "auth", "proto"},
	"api":                 {".", "hub", "auth", "auth/sigv4", "entry", "reaction", "tenant", "usage", "webhook"},
	"function":            {"."},
	"console":             {},
	"client":              {".", "auth"},
	"client/lambda":       {"client"},
	"config":              {"gateway", ".", "hub", "auth", "guard", "tenant", "webhook"},
	"bench":               {".", "auth"},
	"faults":              {},
	"tenancy":             {},
	"conformance/aws":     {},
	"conformance/gateway": {},
	"app": {
		".", "hub", "auth", "epl", "entry", "gateway", "gateway/invoke", "reaction", "schedule", "tenant", "usage", "webhook", "proto", "proto/gateway", "proto/hotsock", "proto/notiflux", "proto/phoenix", "engine/nats", "transport", "ws", "stream", "longpoll",
		"api", "console", "config", "function",
	},
	"cmd/earshot": {".", "app", "auth", "bench", "client", "client/lambda", "config", "tenant", "webhook", "function", "template"},
}

// TestImportsPointDown fails for an import that mayImport does not list, for a
// package that it does not know, and for one without a doc comment.
func TestImportsPointDown(t *testing.T) {
	documented := map[string]bool{}
	walkGo(t, func(file string) {
		dir := filepath.ToSlash(filepath.Dir(file))
		allowed, known := mayImport[dir]
		if !known {
			t.Errorf("%s: the package is not in the table of who may import whom", dir)
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			t.Error(err)
			return
		}
		documented[dir] = documented[dir] || f.Doc != nil
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		for _, imp := range f.Imports {
			if to, ours := ourPackage(imp.Path.Value); ours && !contains(allowed, to) {
				t.Errorf("%s imports %s, which %s may not", file, to, dir)
			}
		}
	})
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s: the package has no doc comment", dir)
		}
	}
}

// TestHubKnowsNoProtocol fails if the hub names one.
func TestHubKnowsNoProtocol(t *testing.T) {
	entries, err := os.ReadDir("proto")
	if err != nil {
		t.Fatal(err)
	}
	walkGo(t, func(file string) {
		if !strings.HasPrefix(filepath.ToSlash(file), "hub/") || strings.HasSuffix(file, "_test.go") {
			return
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() && e.Name() != "prototest" && strings.Contains(strings.ToLower(string(source)), e.Name()) {
				t.Errorf("%s names the protocol %s", file, e.Name())
			}
		}
	})
}

func walkGo(t *testing.T, visit func(file string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "testdata"):
			return fs.SkipDir
		case strings.HasSuffix(p, ".go"):
			visit(p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func ourPackage(quoted string) (dir string, ours bool) {
	p := strings.Trim(quoted, `"`)
	if p == module {
		return ".", true
	}
	rest, ok := strings.CutPrefix(p, module+"/")
	return path.Clean(rest), ok
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
