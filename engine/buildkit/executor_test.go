package buildkit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/moby/buildkit/executor"
	resourcestypes "github.com/moby/buildkit/executor/resources/types"

	"github.com/orlop/orlop/runner/proc"
)

// cutRunc is an executor whose runc was killed while it made the step: its cgroup is
// there, and a process.
type cutRunc struct {
	executor.Executor
	run func(id string) error
}

func (c cutRunc) Run(_ context.Context, id string, _ executor.Mount, _ []executor.Mount, _ executor.ProcessInfo, _ chan<- struct{}) (resourcestypes.Recorder, error) {
	return nil, c.run(id)
}

func TestAStepThatIsCutWhileItIsMadeLeavesNothing(t *testing.T) {
	top := "/sys/fs/cgroup/pids"
	if _, err := os.Stat(top); err != nil {
		top = "/sys/fs/cgroup"
	}
	cgroup := fmt.Sprintf("/orlop-test-%d", os.Getpid())
	if err := os.Mkdir(top+cgroup, 0o755); err != nil {
		t.Skip("SKIPPED: needs root, and cgroups: ", err)
	}
	t.Cleanup(func() { proc.RemoveCgroups(cgroup) })
	left := exec.Command("sleep", "1000")
	lost := errors.New("signal: killed")
	run := func(id string) error {
		dir := filepath.Join(top+cgroup, "buildkit", id)
		if err := errors.Join(os.MkdirAll(dir, 0o755), left.Start()); err != nil {
			return err
		}
		return errors.Join(os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(left.Process.Pid)), 0), lost)
	}
	ended := make(chan error, 1)
	steps := clearing{cutRunc{run: func(id string) error {
		err := run(id)
		go func() { ended <- left.Wait() }()
		return err
	}}, cgroup, slog.New(slog.DiscardHandler)}
	if _, err := steps.Run(t.Context(), "", executor.Mount{}, nil, executor.ProcessInfo{}, nil); !errors.Is(err, lost) {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("its process ended by itself")
	}
	if left, _ := filepath.Glob(top + cgroup + "/buildkit/*/"); len(left) > 0 {
		t.Errorf("left is %v", left)
	}
}
