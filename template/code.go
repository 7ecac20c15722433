package template

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/earshot-io/earshot"
)

// nodeRunner runs programs of npm's packages.
const nodeRunner = "npx"

// code says how a function is run: from its directory, or elsewhere.
func (s *stack) code(p *reader, made *earshot.GatewayFunction) {
	uri, remote := p.where()
	runtime := p.text("Runtime")
	if m := p.text("PackageType"); m == "Image" {
		remote = "its code is an image"
	}
	p.without("ImageUri", "ImageConfig", "CodeUri", "Code", "InlineCode")
	if s.Endpoint != "" {
		made.Endpoint = s.Endpoint
		return
	}
	if remote == "" {
		remote = s.local(p, made, filepath.Join(s.Dir, filepath.FromSlash(uri)), runtime)
	}
	if remote != "" {
		p.find("It is called at AWS Lambda, since %s. Give it an access_key_id and secret_access_key, or a source, a command or another endpoint.", remote)
		made.Endpoint = s.lambda()
	}
}

// where is the directory of the code, or why it is not a directory.
func (p *reader) where() (dir, remote string) {
	if p.r.props.member("InlineCode") != nil || p.r.props.member("Code").member("ZipFile") != nil {
		return "", "its code stands in the template"
	}
	n := p.value("CodeUri")
	if n == nil {
		n = p.value("Code")
	}
	switch {
	case n == nil:
		return ".", ""
	case n.kind == object:
		return "", "its code lies in S3 or in an image"
	case strings.Contains(n.text, "://"):
		return "", "its code lies in S3"
	case strings.HasSuffix(n.text, ".zip"), strings.HasSuffix(n.text, ".jar"):
		return "", "its code is an archive"
	}
	return n.text, ""
}

// local finds out how a directory is run, or says why it cannot be.
func (s *stack) local(p *reader, made *earshot.GatewayFunction, dir, runtime string) (remote string) {
	switch {
	case strings.HasPrefix(runtime, "nodejs"):
		made.Command, made.Dir = []string{nodeRunner, "aws-lambda-ric", made.Handler}, dir
		p.find("It is run by the package aws-lambda-ric: `npm install aws-lambda-ric` in %s.", dir)
		return ""
	case strings.HasPrefix(runtime, "python"):
		made.Command, made.Dir = []string{"python3", "-m", "awslambdaric", made.Handler}, dir
		p.find("It is run by the package awslambdaric: `pip install awslambdaric`.")
		return ""
	case runtime == "", strings.HasPrefix(runtime, "go"), strings.HasPrefix(runtime, "provided"):
	default:
		return "the runtime " + runtime + " is not run here"
	}
	source, binary := look(dir, made.Handler)
	switch {
	case binary != "":
		made.Command, made.Dir = []string{binary}, dir
	case source:
		made.Source = dir
	default:
		made.Source = dir
		p.find("There is neither a Go program nor an executable in %s yet.", dir)
	}
	return ""
}

// look finds Go files, and an executable that is called as the handler, or
// bootstrap as those of provided runtimes are.
func look(dir, handler string) (source bool, binary string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, "" // told as a directory with nothing
	}
	for _, e := range entries {
		name := e.Name()
		info, err := e.Info()
		switch {
		case err != nil || !info.Mode().IsRegular():
		case info.Mode()&0o111 != 0 && (name == handler || name == "bootstrap" && binary == ""):
			binary = filepath.Join(dir, name)
		case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
			source = true
		}
	}
	return source, binary
}
