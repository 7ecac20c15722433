package function

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/earshot-io/earshot"
)

// Conventions of a directory of functions.
const (
	// IdentitySource is what clients show to a function that is an authorizer.
	IdentitySource = "route.request.querystring.Auth"
	routeSelection = "$request.body.action"
)

// FromDirectory makes a gateway of a directory of functions, by convention, where
// nothing else says what they are for. Each entry is a function of its name
// without an extension:
//
//   - a directory with a Go program (package main), which is built before it runs;
//   - a directory with a built program, named bootstrap or main;
//   - a built program: a file that may be executed.
//
// Its name, in lower case and without - and _, says what it is for:
//
//	connect, onconnect           the route $connect
//	disconnect, ondisconnect     the route $disconnect
//	default, ondefault           the route $default
//	authorizer, requestauthorizer  the authorizer of $connect, with IdentitySource
//	any other                    the route of that name, as pushtowebsocket
//
// Messages choose their route by $request.body.action. What functions answer does
// not go to the client: they speak to it over the management API. Each function
// finds the API's id in API_GATEWAY_ID and the stage in GO_ENV and STAGE. Hidden
// entries and what is none of the above are passed over.
//
// It fails if there is no function, if two are for the same, or if a name has
// other characters than letters, digits, - and _.
func FromDirectory(dir, id, stage string) (earshot.Gateway, error) {
	g := earshot.Gateway{ID: id, Name: filepath.Base(dir), RouteSelection: routeSelection, Stages: []earshot.GatewayStage{{Name: stage}}, Trusted: true}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return g, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return g, fmt.Errorf("functions: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		f, ok, err := functionAt(filepath.Join(dir, e.Name()))
		if err == nil && ok {
			f.Environment = map[string]string{"API_GATEWAY_ID": id, "GO_ENV": stage, "STAGE": stage}
			err = addByName(&g, f)
		}
		if err != nil {
			return g, fmt.Errorf("functions: %s: %w", e.Name(), err)
		}
	}
	if len(g.Functions) == 0 {
		return g, fmt.Errorf("functions: %s has none: neither a directory with a Go program nor a program", dir)
	}
	authorize(&g)
	return g, nil
}

// functionAt returns the function that a file or directory is; ok is false if it
// is none.
func functionAt(path string) (f earshot.GatewayFunction, ok bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return f, false, err
	}
	f.Name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	switch {
	case info.Mode().IsRegular() && executable(info):
		f.Command, f.Dir = []string{path}, filepath.Dir(path)
		return f, true, nil
	case !info.IsDir():
		return f, false, nil
	}
	f.Name = filepath.Base(path)
	for _, name := range []string{"bootstrap", "main"} {
		binary := filepath.Join(path, name)
		if info, err := os.Stat(binary); err == nil && info.Mode().IsRegular() && executable(info) {
			f.Command, f.Dir = []string{binary}, path
			return f, true, nil
		}
	}
	f.Source = path
	return f, isProgram(path), nil
}

func executable(info os.FileInfo) bool { return info.Mode()&0o111 != 0 }

// isProgram reports whether a directory has a Go program. A file that cannot be
// read as Go is for the compiler to complain of.
func isProgram(dir string) bool {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return false // cannot be: the pattern is one, unless the directory's name is
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		if f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.PackageClauseOnly); err != nil || f.Name.Name == "main" {
			return true
		}
	}
	return false
}

// addByName adds a function, and what it is for.
func addByName(g *earshot.Gateway, f earshot.GatewayFunction) error {
	if strings.Trim(f.Name, nameLetters) != "" || len(f.Name) > 64 {
		return errors.New("a function's name has at most 64 letters, digits, - and _")
	}
	uri := arn(g, f.Name)
	switch strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(f.Name)) {
	case "authorizer", "requestauthorizer":
		if len(g.Authorizers) > 0 {
			return errors.New("there is an authorizer already")
		}
		g.Authorizers = append(g.Authorizers, earshot.GatewayAuthorizer{ID: "authorizer", URI: uri, IdentitySource: []string{IdentitySource}})
	case "connect", "onconnect":
		return addRoute(g, f, "$connect", uri)
	case "disconnect", "ondisconnect":
		return addRoute(g, f, "$disconnect", uri)
	case "default", "ondefault":
		return addRoute(g, f, "$default", uri)
	default:
		return addRoute(g, f, strings.ToLower(f.Name), uri)
	}
	g.Functions = append(g.Functions, f)
	return nil
}

func addRoute(g *earshot.Gateway, f earshot.GatewayFunction, key, uri string) error {
	if slices.ContainsFunc(g.Routes, func(r earshot.GatewayRoute) bool { return r.Key == key }) {
		return fmt.Errorf("the route %s has a function already", key)
	}
	g.Functions = append(g.Functions, f)
	g.Integrations = append(g.Integrations, earshot.GatewayIntegration{ID: f.Name, Type: earshot.AWSProxy, URI: uri})
	g.Routes = append(g.Routes, earshot.GatewayRoute{Key: key, Target: "integrations/" + f.Name})
	return nil
}

// authorize has the authorizer, if there is one, judge $connect, which it needs a
// route for.
func authorize(g *earshot.Gateway) {
	if len(g.Authorizers) == 0 {
		return
	}
	at := slices.IndexFunc(g.Routes, func(r earshot.GatewayRoute) bool { return r.Key == "$connect" })
	if at < 0 {
		at = len(g.Routes)
		g.Integrations = append(g.Integrations, earshot.GatewayIntegration{ID: "$connect", Type: earshot.Mock})
		g.Routes = append(g.Routes, earshot.GatewayRoute{Key: "$connect", Target: "integrations/$connect"})
	}
	g.Routes[at].AuthorizationType, g.Routes[at].AuthorizerID = "CUSTOM", g.Authorizers[0].ID
}
