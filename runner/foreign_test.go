package runner

import (
	"context"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// machine is a container in a virtual machine, made for a shim of its own: it is in no
// sandbox.
type machine struct{ containerd.Container }

func (machine) Info(context.Context, ...containerd.InfoOpts) (containers.Container, error) {
	return containers.Container{Runtime: containers.RuntimeInfo{Name: "io.containerd.kata.v2"}}, nil
}

func (machine) Spec(context.Context) (*specs.Spec, error) {
	return &specs.Spec{Process: &specs.Process{}, Linux: &specs.Linux{}}, nil
}

// hypervisor is its task, whose process is one of the machine's own.
type hypervisor struct {
	containerd.Task
	pid    int
	killed []syscall.Signal
	end    *ending
}

func (h *hypervisor) Pid() uint32 { return uint32(h.pid) }

func (h *hypervisor) Kill(_ context.Context, sig syscall.Signal, _ ...containerd.KillOpts) error {
	h.killed = append(h.killed, sig)
	close(h.end.exited)
	return nil
}

// TestAHypervisorIsNoProcessOfAContainer: it is not signalled, its root is the machine's,
// and so are its namespaces and users.
func TestAHypervisorIsNoProcessOfAContainer(t *testing.T) {
	r := alone(t)
	c := r.newContainer(of(planner.Running, "always"), machine{}, false)
	vmm := exec.Command("sleep", "60")
	must(t, vmm.Start())
	ended := make(chan struct{})
	go func() { _ = vmm.Wait(); close(ended) }()
	t.Cleanup(func() { _ = vmm.Process.Kill(); <-ended })
	task := &hypervisor{pid: vmm.Process.Pid, end: newEnding()}
	c.task, c.ending = task, task.end
	c.hold(task)

	if root, err := c.liveRoot(t.Context()); err == nil || !strings.Contains(err.Error(), "virtual machine") {
		t.Errorf("its root: %v, %v", root, err)
	}
	sharer := of(planner.Created, "")
	sharer.Service, sharer.Name, sharer.Applied = "side", "shop-side-1", &planner.Applied{Service: &spec.Service{PID: "service:web"}}
	doc := &specs.Spec{Linux: &specs.Linux{}}
	if _, _, err := r.newContainer(sharer, nil, false).joinProcesses(doc); err == nil || len(doc.Linux.Namespaces) > 0 || !strings.Contains(err.Error(), "services.side.pid: cannot share") {
		t.Errorf("its namespaces: %v, %v", doc.Linux.Namespaces, err)
	}
	if _, err := c.processSpec(t.Context(), ProcessOptions{User: "root"}); err == nil || !strings.Contains(err.Error(), "give numbers") {
		t.Errorf("a user by name: %v", err)
	}
	if doc, err := c.processSpec(t.Context(), ProcessOptions{User: "1000:50"}); err != nil || doc.User.UID != 1000 || doc.User.GID != 50 {
		t.Errorf("a user by number: %+v, %v", doc, err)
	}
	if pid := c.observe().PID; pid != 0 {
		t.Errorf("its process is told as %d", pid)
	}
	must(t, c.stopTask(t.Context(), task, task.end, syscall.SIGTERM, time.Minute, false))
	if len(task.killed) != 1 || task.killed[0] != syscall.SIGTERM {
		t.Errorf("its shim was asked for %v", task.killed)
	}
	select {
	case <-ended:
		t.Error("the hypervisor was signalled")
	default:
	}
}
