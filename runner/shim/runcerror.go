package shim

import (
	"fmt"
	"regexp"
	"strings"
)

// RuncError says why a process could not be begun, in words that speak of the
// container.
type RuncError struct {
	// Code is the exit code that shells give it: 127 for a program that isn't
	// there, 126 for one that can't be run, 0 for what is not the program's fault.
	Code int
	text string
	err  error
}

func (e *RuncError) Error() string { return e.text }

// Unwrap gives runc's own words.
func (e *RuncError) Unwrap() error { return e.err }

// runcCause is a cause that a user's word for a program or a directory has;
// the group of the pattern is that word.
type runcCause struct {
	pattern string
	ours    string
	code    int
}

func runcCauses() []runcCause {
	const directory = `^chdir to cwd \("(.*)"\) set in config\.json failed: `
	return []runcCause{
		{`^exec: "(.*)": executable file not found in \$PATH$`, "no directory of its PATH has a program %q", 127},
		{`^exec: "(.*)": (?:stat .*: )?no such file or directory$`, "it has no file %q", 127},
		{`^exec: "(.*)": is a directory$`, "%q is a directory, not a program", 126},
		{`^exec: "(.*)": permission denied$`, "%q may not be executed: see its mode and owner (chmod +x)", 126},
		{`^exec: "(.*)": exec format error$`, "%q is not a program for this machine, or a script without a first line like #!/bin/sh", 126},
		{directory + `no such file or directory$`, "it has no working directory %q", 126},
		{directory + `not a directory$`, "its working directory %q is a file", 126},
		{`^mkdir (/.*): not a directory$`, "its working directory %q can't be made: a part of that path is a file", 126},
		{directory + `permission denied$`, "its user may not enter the working directory %q", 126},
	}
}

// mute is what is said of a runc that ended before it wrote why: it was killed, or
// can't run here.
var mute = regexp.MustCompile(`unable to retrieve OCI runtime error .* did not terminate successfully: ((?:exit status |signal: )[^:]*)`)

// ended is what stands before the words of a runc that did not start a process.
var ended = regexp.MustCompile(`^\S*runc did not terminate successfully: exit status \d+: `)

// Explain gives the cause of what runc said: in our words where it is
// one that a user can have made, else its last sentence.
func Explain(err error) *RuncError {
	text := err.Error()
	if m := mute.FindStringSubmatch(text); m != nil {
		return &RuncError{text: "runc ended without a reason (" + m[1] + "): try again", err: err}
	}
	if _, after, ok := strings.Cut(text, "OCI runtime "); ok {
		_, text, _ = strings.Cut(after, " failed: ")
	}
	for _, step := range []string{"runc create failed: ", "exec failed: ", "unable to start container process: ", "error during container init: "} {
		text = strings.TrimPrefix(text, step)
	}
	text = strings.TrimSpace(ended.ReplaceAllString(text, ""))
	for _, cause := range runcCauses() {
		if m := regexp.MustCompile(cause.pattern).FindStringSubmatch(text); m != nil {
			return &RuncError{text: fmt.Sprintf(cause.ours, m[1]), Code: cause.code, err: err}
		}
	}
	return &RuncError{text: text, err: err}
}

// Mount is the mount that could not be made: a path of the host at one of the
// container, "" where that is not said, and what was said of it.
func (e *RuncError) Mount() (source, target, said string, ok bool) {
	m := regexp.MustCompile(`^error mounting "(.*)" to rootfs at "(.*?)": (.*)$`).FindStringSubmatch(e.text)
	if m != nil {
		return m[1], m[2], m[3], true
	}
	if m = regexp.MustCompile(`^failed to fulfil mount request: open (.*): (.*)$`).FindStringSubmatch(e.text); m != nil {
		return m[1], "", m[2], true
	}
	return "", "", "", false
}
