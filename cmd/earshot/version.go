package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// versionCmd is "earshot version".
type versionCmd struct{}

// Run prints the version, the revision if it is known, and what it was built with.
func (*versionCmd) Run(w *world) error {
	version, revision := "(devel)", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = cmp.Or(info.Main.Version, version)
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value
			}
		}
	}
	_, err := fmt.Fprintf(w.out, "earshot %s%s %s %s/%s\n", version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
