//go:build cgo

// Package enter is where libcontainer goes on in the process that is to become a container's:
// it is begun by the same program. The package imports nothing else, so that it comes
// before what the rest of the program prepares.
package enter

import (
	"os"

	"github.com/opencontainers/runc/libcontainer"
	_ "github.com/opencontainers/runc/libcontainer/nsenter" // joins namespaces before Go begins
)

func init() {
	if len(os.Args) > 1 && os.Args[1] == "init" {
		libcontainer.Init()
	}
}
