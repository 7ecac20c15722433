package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/earshot-io/earshot/config"
)

// commands is the command line.
type commands struct {
	Dev       devCmd       `cmd:"" help:"Start everything on this machine, with keys made for you."`
	Serve     serveCmd     `cmd:"" help:"Serve, with the settings of a file."`
	Publish   publishCmd   `cmd:"" help:"Publish a message."`
	Subscribe subscribeCmd `cmd:"" help:"Print the messages of channels as they come."`
	App       appCmd       `cmd:"" help:"Make and change apps while the server runs."`
	Owner     ownerCmd     `cmd:"" help:"Let others see and change apps of their own."`
	Import    importCmd    `cmd:"" help:"Read the WebSocket APIs of a CloudFormation or SAM template."`
	Schedule  scheduleCmd  `cmd:"" help:"Look at what waits for its time, and take it back."`
	Webhook   webhookCmd   `cmd:"" help:"Look at webhooks and replay what they did not take."`
	Token     tokenCmd     `cmd:"" help:"Issue and inspect tokens, make keys."`
	Config    configCmd    `cmd:"" help:"Check, print and explain settings."`
	Bench     benchCmd     `cmd:"" help:"Measure a server."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

// A world is what a command sees of the outside.
type world struct {
	ctx      context.Context
	in       io.Reader
	out, err io.Writer
	env      config.Environment
	// name is how the program was called, as it can be typed again.
	name string
}

func main() {
	w := &world{
		ctx: context.Background(), in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Environ(), name: calledAs(os.Args[0]),
	}
	os.Exit(w.run(os.Args[1:]))
}

// calledAs returns what to type to call the program again: `go run` builds it
// in a place that nobody types.
func calledAs(arg string) string {
	if strings.Contains(filepath.ToSlash(arg), "/go-build") {
		return "go run ./cmd/earshot"
	}
	return arg
}

// exited is how kong ends: after --help.
type exited int

// run carries a command line out and returns the exit code.
func (w *world) run(args []string) (code int) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(exited)
			if !ok {
				panic(r)
			}
			code = int(e)
		}
	}()
	var c commands
	parser, err := kong.New(
		&c, kong.Name("earshot"), kong.Description("Publish once; every client in earshot hears it."),
		kong.Writers(w.out, w.err), kong.Exit(func(code int) { panic(exited(code)) }), kong.Bind(w),
		kong.Vars{"settings": settingsFile},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.UsageOnError(),
	)
	if err != nil {
		return w.complain(err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		w.complain(err)
		fmt.Fprintf(w.err, "%s --help tells what there is\n", w.name)
		return 2
	}
	if err := parsed.Run(w); err != nil {
		return w.complain(err)
	}
	return 0
}

// complain says what went wrong: a line for each problem.
func (w *world) complain(err error) int {
	var problems config.Problems
	if errors.As(err, &problems) && len(problems) > 1 {
		fmt.Fprintf(w.err, "earshot: %d problems with the settings:\n", len(problems))
		for _, p := range problems {
			fmt.Fprintln(w.err, "  "+p)
		}
		return 1
	}
	fmt.Fprintln(w.err, "earshot: "+err.Error())
	return 1
}

// signalled returns a context that ends with the world's, or when somebody asks
// the process to.
func (w *world) signalled() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(w.ctx, os.Interrupt, syscall.SIGTERM)
}
