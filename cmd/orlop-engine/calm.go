package main

import (
	"fmt"
	"strings"

	"github.com/sirupsen/logrus"
)

// calm leaves out what containerd and BuildKit say when all is well: in our
// log a warning is one.
type calm struct{ logrus.Formatter }

// noise is a line that tells nobody anything, by its message and, where that
// alone could be bad news, by what its error holds.
type noise struct{ message, cause string }

var said = []noise{
	{message: "copy shim log"},                                                     // a shim has ended, and its pipe with it
	{message: "no trace recorder found, skipping"},                                 // nobody asked for traces of a build
	{message: "failed check for fsverity support"},                                 // a file system without it is an ordinary one
	{message: "failed to delete task", cause: "container not created: not found"},  // the creation failed, which its caller hears; nothing is there to delete
	{message: "failed to read oom_kill event", cause: "no such file or directory"}, // BuildKit looks for a file of cgroup v2 under v1
}

// Format gives nothing for a message that tells nobody anything.
func (c calm) Format(e *logrus.Entry) ([]byte, error) {
	for _, n := range said {
		if e.Message == n.message && strings.Contains(fmt.Sprint(e.Data[logrus.ErrorKey]), n.cause) {
			return nil, nil
		}
	}
	return c.Formatter.Format(e)
}
