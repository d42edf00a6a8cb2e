// Package job is what the engine and its helper orlop-exec say to each other: one
// JSON document each on a socket between them. The helper runs processes that join
// a container, to their end and within bounds.
package job

import (
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Socket is the descriptor of the helper's end.
const Socket = 3

// Request asks for a process, or with Cancel for the end of one that was asked for.
type Request struct {
	ID        uint64 // of the job
	Cancel    bool
	State     string // the directory in which runc notes its containers
	Container string
	Process   *specs.Process
	Output    int           // bytes that are kept of what it prints
	Time      time.Duration // after which it is killed; 0: none
}

// Answer says how a job has ended.
type Answer struct {
	ID     uint64
	Code   int // the exit code of a process that has ended by itself
	Output string
	Late   bool // it was killed when its time was over
	// Error says why the process could not be begun, in runc's words; Unfit that it was not
	// tried: the helper can't tell what the container is.
	Error string
	Unfit bool
	// Detour says why libcontainer has begun the process; "": it did not.
	Detour string
}
