package rootfs

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestTheMachinesRootIsNoContainers: a process may have a mount namespace of its own, and
// see the files of the machine all the same, as hypervisors do.
func TestTheMachinesRootIsNoContainers(t *testing.T) {
	needRoot(t)
	vmm := exec.Command("unshare", "-m", "sh", "-c", "echo; exec sleep 60")
	out, err := vmm.StdoutPipe()
	must(t, err)
	must(t, vmm.Start())
	t.Cleanup(func() { _ = vmm.Process.Kill(); _ = vmm.Wait() })
	_, err = out.Read(make([]byte, 1))
	must(t, err)
	for _, pid := range []int{vmm.Process.Pid, os.Getpid()} {
		root, err := Open("web", fmt.Sprintf("/proc/%d/root", pid), &specs.Spec{Process: &specs.Process{}})
		if err == nil || !strings.Contains(err.Error(), "is the root directory of the machine") {
			t.Errorf("%v, %v", root, err)
		}
	}
}
