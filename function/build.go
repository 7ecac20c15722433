package function

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// maxBuildOutput bounds what is told of a build that failed.
const maxBuildOutput = 8 << 10

// Build builds the Go program in a directory into a binary, by the go command
// that is in the PATH and with its settings and caches: GOFLAGS, GOPROXY and the
// like count. The error holds what the compiler said.
func Build(ctx context.Context, source, binary string) error {
	if info, err := os.Stat(source); err != nil || !info.IsDir() {
		return fmt.Errorf("%s is not a directory with a Go program", source)
	}
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(binary), 0o700); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, ".")
	cmd.Dir = source
	cmd.WaitDelay = pipeGrace
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("building %s: there is no go command; install Go, or give the built binary", source)
	case ctx.Err() != nil:
		return fmt.Errorf("building %s: %w", source, context.Cause(ctx))
	case err != nil:
		return fmt.Errorf("building %s failed:\n%s", source, trimOutput(out))
	}
	return nil
}

func trimOutput(out []byte) string {
	out = bytes.TrimSpace(out)
	if len(out) > maxBuildOutput {
		out = append(out[:maxBuildOutput:maxBuildOutput], "\n..."...)
	}
	return string(out)
}

// prepare makes the command ready: it builds the source if there is one.
func (p *pool) prepare(ctx context.Context) error {
	if len(p.fn.Command) == 0 {
		binary := filepath.Join(p.host.config.Data, "bin", p.app, p.fn.Name)
		p.log.Info("building", "source", p.fn.Source)
		if err := Build(ctx, p.fn.Source, binary); err != nil {
			return fmt.Errorf("function %s: %w", p.fn.Name, err)
		}
		binary, err := filepath.Abs(binary)
		p.binary = []string{binary}
		return errors.Join(err, p.inDirectory(or(p.fn.Dir, p.fn.Source)))
	}
	p.binary = append([]string(nil), p.fn.Command...)
	if err := p.inDirectory(p.fn.Dir); err != nil {
		return err
	}
	return p.findCommand()
}

// inDirectory says where the function runs: by default where the server does.
func (p *pool) inDirectory(dir string) (err error) {
	p.dir, err = filepath.Abs(dir)
	if info, statErr := os.Stat(p.dir); err == nil && (statErr != nil || !info.IsDir()) {
		err = fmt.Errorf("function %s: %s is not a directory", p.fn.Name, p.dir)
	}
	return err
}

// findCommand makes the command's path absolute: one with a slash is below the
// function's directory, one without is looked for in the PATH.
func (p *pool) findCommand() error {
	name := p.binary[0]
	if strings.ContainsRune(name, filepath.Separator) && !filepath.IsAbs(name) {
		name = filepath.Join(p.dir, name)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return fmt.Errorf("function %s: %w", p.fn.Name, err)
	}
	p.binary[0] = path
	return nil
}
