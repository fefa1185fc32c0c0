package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// version is set by the build.
var version = "dev"

type versionCmd struct{ jsonFlag }

// Run prints what this program is.
func (c *versionCmd) Run(a app) error {
	commit := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				commit = setting.Value
			}
		}
	}
	about := map[string]string{"version": version, "commit": commit, "go": runtime.Version()}
	return c.print(a.out, about, func(w io.Writer) { fmt.Fprintf(w, "keyhook %s\ncommit %s\n%s\n", version, commit, runtime.Version()) })
}
