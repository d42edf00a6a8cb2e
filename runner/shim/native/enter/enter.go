//go:build cgo

// Package enter is where libcontainer goes on in the process that is to become a container's:
// it is begun by the same program. The package imports little else, so that it comes
// before what the rest of the program prepares.
package enter

import (
	"os"

	"github.com/opencontainers/runc/libcontainer"
	_ "github.com/opencontainers/runc/libcontainer/nsenter" // joins namespaces before Go begins

	"github.com/orlop/orlop/runner/shim/native/root"
)

func init() {
	if len(os.Args) > 1 && os.Args[1] == "init" {
		if isFirst() {
			if err := root.Enter(); err != nil {
				os.Exit(1) // whose shim reads why
			}
		}
		libcontainer.Init()
	}
}

// isFirst says that this is to be the first process of a container, and none that joins it: libcontainer
// says so to libcontainer.
func isFirst() bool {
	return os.Getenv("_LIBCONTAINER_INITTYPE") == "standard"
}
