package keeper

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// CoreLimit is the environment's name of the limit on core dumps, in bytes, that the
// keeper was started with: containers have it, unless their service says another.
const CoreLimit = "ORLOP_CORE_LIMIT"

// KeepPrivate takes this process's memory out of reach: it leaves no core dump, and
// nobody without CAP_SYS_PTRACE reads it or its environment. What it starts leaves none
// either, shims among them; what the limit was before stands in the environment, by
// CoreLimit.
func KeepPrivate() error {
	err := errors.Join(unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0), leaveNoCore())
	if err != nil {
		return fmt.Errorf("cannot keep the memory of the process private: %w", err)
	}
	return nil
}

// leaveNoCore sets the limit on core dumps to none. The hard one stays, so that
// containers can have theirs.
func leaveNoCore() error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &l); err != nil {
		return err
	}
	if os.Getenv(CoreLimit) == "" { // else it is the keeper's, whose own is none by now
		if err := os.Setenv(CoreLimit, strconv.FormatUint(l.Cur, 10)); err != nil {
			return err
		}
	}
	l.Cur = 0
	return unix.Setrlimit(unix.RLIMIT_CORE, &l)
}
