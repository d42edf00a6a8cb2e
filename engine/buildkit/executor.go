package buildkit

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/moby/buildkit/executor"
	resourcestypes "github.com/moby/buildkit/executor/resources/types"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/solver/pb"

	"github.com/orlop/orlop/runner/proc"
	"github.com/orlop/orlop/spec"
)

// placed is an executor of steps by the network that they are on. Those on the
// host's ask the servers of the host for names.
type placed struct {
	executor.Executor
	onHost  executor.Executor
	network *Network
}

// Run runs a step; see executor.Executor.
func (p placed) Run(ctx context.Context, id string, root executor.Mount, mounts []executor.Mount, process executor.ProcessInfo, started chan<- struct{}) (resourcestypes.Recorder, error) {
	if process.Meta.NetMode == pb.NetMode_HOST {
		return p.onHost.Run(ctx, id, root, mounts, process, started)
	}
	standIn := net.ParseIP(spec.GatewayStandIn)
	isStandIn := func(h executor.HostIP) bool { return h.IP.Equal(standIn) }
	if process.Meta.NetMode == pb.NetMode_UNSET && slices.ContainsFunc(process.Meta.ExtraHosts, isStandIn) {
		gateway, leave, err := p.network.gateway(ctx)
		if err != nil {
			return nil, err
		}
		defer leave()
		process.Meta.ExtraHosts = slices.Clone(process.Meta.ExtraHosts)
		for i := range process.Meta.ExtraHosts {
			if isStandIn(process.Meta.ExtraHosts[i]) {
				process.Meta.ExtraHosts[i].IP = gateway
			}
		}
	}
	return p.Executor.Run(ctx, id, root, mounts, process, started)
}

// clearing is an executor that leaves nothing of a step which did not end by itself:
// runc, killed while it makes the step, leaves a cgroup that it has no note of yet,
// and perhaps a process in it.
type clearing struct {
	executor.Executor
	cgroup string // of all steps
	log    *slog.Logger
}

// clearTime bounds how long the processes of a step may take to end on SIGKILL.
const clearTime = 10 * time.Second

// Run runs a step; see executor.Executor.
func (c clearing) Run(ctx context.Context, id string, root executor.Mount, mounts []executor.Mount, process executor.ProcessInfo, started chan<- struct{}) (resourcestypes.Recorder, error) {
	if id == "" {
		id = identity.NewID()
	}
	rec, err := c.Executor.Run(ctx, id, root, mounts, process, started)
	if err != nil {
		c.clear(context.WithoutCancel(ctx), id)
	}
	return rec, err
}

func (c clearing) clear(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, clearTime)
	defer cancel()
	cgroup := c.cgroup + "/buildkit/" + id // as BuildKit's documents have it
	for pause := time.Millisecond; len(proc.Cgroups(cgroup)) > 0; pause *= 2 {
		if err := proc.KillAll(ctx, cgroup); err != nil {
			c.log.Warn("cannot end what is left of a build step", "step", id, "error", err)
			return
		}
		proc.RemoveCgroups(cgroup)
		// One of whom nobody has heard that it has ended keeps the cgroup, and nothing
		// tells when the machine's init has.
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}
