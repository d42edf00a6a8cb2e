package shim

import (
	"errors"
	"testing"
)

func TestRuncErrorsSpeakOfTheContainer(t *testing.T) {
	const create = "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: "
	const exec = "OCI runtime exec failed: exec failed: unable to start container process: "
	for _, test := range []struct {
		runc, want string
		code       int
	}{
		{create + `exec: "/nope": stat /nope: no such file or directory`, `it has no file "/nope"`, 127},
		{exec + `exec: "nope": executable file not found in $PATH`, `no directory of its PATH has a program "nope"`, 127},
		{exec + `exec: "/etc": is a directory`, `"/etc" is a directory, not a program`, 126},
		{exec + `exec: "/etc/passwd": permission denied`, `"/etc/passwd" may not be executed: see its mode and owner (chmod +x)`, 126},
		{exec + `chdir to cwd ("/no") set in config.json failed: no such file or directory`, `it has no working directory "/no"`, 126},
		{create + `error mounting "/a" to rootfs at "/b": permission denied`, `error mounting "/a" to rootfs at "/b": permission denied`, 0},
		{"failed to create shim task: unable to retrieve OCI runtime error (open /s/log.json: no such file or directory): /l/runc did not terminate successfully: exit status 3: ", "runc ended without a reason (exit status 3): try again", 0},
		{"unable to retrieve OCI runtime error (EOF): /l/runc did not terminate successfully: signal: killed", "runc ended without a reason (signal: killed): try again", 0},
		{"ttrpc: closed", "ttrpc: closed", 0},
	} {
		long := errors.New(test.runc)
		if err := Explain(long); err.Error() != test.want || err.Code != test.code || !errors.Is(err, long) {
			t.Errorf("%q becomes %q with code %d", test.runc, err, err.Code)
		}
	}
}
