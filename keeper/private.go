package keeper

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// KeepPrivate takes this process's memory out of reach: it leaves no core dump,
// and nobody without CAP_SYS_PTRACE reads it or its environment. What the
// process starts is not affected, so that containers keep limits of their own,
// as a limit on cores would not let them.
func KeepPrivate() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot keep the memory of the process private: %w", err)
	}
	return nil
}
