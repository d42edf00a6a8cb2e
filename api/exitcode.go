package api

import (
	"strconv"

	"google.golang.org/grpc/metadata"
)

// exitCode is the key of the exit code in the trailer of a call that failed.
const exitCode = "orlop-exit-code"

// ExitCode is the trailer of a call that failed because a program can't be run: with the exit code that a shell has for it. 0 is none.
func ExitCode(code int32) metadata.MD {
	if code == 0 {
		return nil
	}
	return metadata.Pairs(exitCode, strconv.Itoa(int(code)))
}

// ExitCodeOf is the exit code in the trailer of a call; 0 where there is none.
func ExitCodeOf(trailer metadata.MD) int {
	said := trailer.Get(exitCode)
	if len(said) == 0 {
		return 0
	}
	code, err := strconv.Atoi(said[0])
	if err != nil {
		return 0 // the error is told anyway
	}
	return code
}
