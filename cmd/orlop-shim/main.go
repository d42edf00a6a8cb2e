//go:build cgo

// Command orlop-shim is the parent of a project's containers: a shim of containerd that makes
// and enters them by itself, with runc's libcontainer, where containerd-shim-runc-v2
// calls runc. Its command line and its calls are those of that.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/manager"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/go-runc"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"

	"github.com/orlop/orlop/runner/shim/native"
	_ "github.com/orlop/orlop/runner/shim/native/enter"
	"github.com/orlop/orlop/runner/shim/reaper"
	"github.com/orlop/orlop/runner/shim/tasks"
)

func main() {
	// libcontainer hands it to the process that becomes the program, whose Go then looks for
	// no limits of processors. Our own has begun already.
	_ = os.Setenv("GOMAXPROCS", "1")
	heedIgnored()
	library := &native.Library{}
	runc.Within = library
	registry.Register(&plugin.Registration{
		Type: plugins.TTRPCPlugin, ID: "task", Requires: []plugin.Type{plugins.EventPlugin, plugins.InternalPlugin},
		InitFn: func(c *plugin.InitContext) (any, error) {
			publisher, err := c.GetByID(plugins.EventPlugin, "publisher")
			if err != nil {
				return nil, err
			}
			end, err := c.GetByID(plugins.InternalPlugin, "shutdown")
			if err != nil {
				return nil, err
			}
			// It lets memory grow a little while much is done, and gives it back twice a minute.
			debug.SetGCPercent(200)
			return tasks.New(c.Context, publisher.(shim.Publisher), end.(shutdown.Service), reaper.New(), library)
		},
	})
	shim.RunShim(context.Background(), manager.NewShimManager("io.containerd.runc.v2"), func(c *shim.Config) { c.NoReaper = true })
}

// heedIgnored has containers begin with no signal ignored, whatever the engine was started by
// ignores: this program goes on to ignore those.
func heedIgnored() {
	for s := syscall.Signal(1); s < 65; s++ {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
}
