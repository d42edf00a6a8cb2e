package cluster

import "testing"

func TestWhyACommandWasNotBegun(t *testing.T) {
	const kubelet = `Internal error occurred: error executing command in container: failed to exec in container: failed to start exec "5c": OCI runtime exec failed: exec failed: `
	for message, want := range map[string]Exited{
		kubelet + `unable to start container process: exec: "psql": executable file not found in $PATH`:             {notFound, "there is no such program"},
		kubelet + `unable to start container process: exec: "/bin/psql": stat /bin/psql: no such file or directory`: {notFound, "there is no such program"},
		kubelet + `unable to start container process: exec: "/etc/passwd": permission denied: unknown`:              {notExecutable, "permission denied"},
		kubelet + `unable to start container process: error adding pid 7 to cgroups: no space left on device`:       {notExecutable, "no space left on device"},
		"Internal error occurred: error executing command in container: container is not running\n":                 {notExecutable, "container is not running"},
	} {
		if code, why := whyNotBegun(message); code != want.Code || why != want.Why {
			t.Errorf("%s is %d, %q, want %d, %q", message, code, why, want.Code, want.Why)
		}
	}
}
