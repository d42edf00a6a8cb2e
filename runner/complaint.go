package runner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/oci"
	"github.com/orlop/orlop/runner/ports"
	"github.com/orlop/orlop/runner/shim"
	"github.com/orlop/orlop/runner/volume"
	"github.com/orlop/orlop/spec"
)

// placed adds to an error where the stack file asks for what failed, in what
// was wanted.
func (o *Order) placed(err error, want *planner.Applied) error {
	if pe, ok := errors.AsType[*ports.Error](err); ok {
		for i, p := range want.Service.Ports {
			if p.Published == pe.Port && p.Target == pe.Target {
				pe.Place = o.Places.Nearest(fmt.Sprintf("services.%s.ports[%d]", pe.Service, i))
				break
			}
		}
	}
	if me, ok := errors.AsType[*volume.MountError](err); ok {
		for i, m := range want.Service.Volumes {
			if m.Target == me.Target {
				me.Place = o.Places.Nearest(fmt.Sprintf("services.%s.volumes[%d]", me.Service, i))
				break
			}
		}
	}
	if ke, ok := errors.AsType[*oci.KeyError](err); ok {
		ke.Place = o.Places.Nearest("services." + ke.Service + "." + ke.Key)
	}
	return err
}

// startError is why a container's process could not be made, in words of the
// stack file where a key of it is to blame.
func (c *container) startError(err error) error {
	rec := c.snapshot()
	bad := shim.Explain(err)
	if m := mountFailed().FindStringSubmatch(bad.Error()); m != nil {
		for _, v := range rec.Applied.Service.Volumes {
			if filepath.Clean(v.Target) == filepath.Clean(m[2]) {
				return &volume.MountError{Service: rec.Service, Source: v.Source, Target: v.Target, Err: mountCause(rec.Applied.Service, v, m[1], m[3], bad)}
			}
		}
	}
	if text := memoryCause(bad.Error()); text != "" {
		return &oci.KeyError{Service: rec.Service, Key: "mem_limit", Text: text, Err: bad}
	}
	return fmt.Errorf("cannot start %s: %w", c.name, bad)
}

func mountFailed() *regexp.Regexp {
	return regexp.MustCompile(`^error mounting "(.*)" to rootfs at "(.*?)": (.*)$`)
}

// causeError is a cause in our words; what it was told by stays behind it.
type causeError struct {
	text string
	err  error
}

func (e *causeError) Error() string { return e.text }
func (e *causeError) Unwrap() error { return e.err }

// mountCause says why a mount failed, of what runc says; source is the path
// on the host.
func mountCause(s *spec.Service, v spec.Mount, source, said string, err error) error {
	switch {
	case strings.HasSuffix(said, "not a directory"):
		if st, serr := os.Stat(source); serr == nil && st.IsDir() {
			return &causeError{"it is a directory, and " + v.Target + " is a file in the container", err}
		}
		return &causeError{"it is a file, and " + v.Target + " is a directory in the container", err}
	case strings.HasSuffix(said, "read-only file system"):
		outer := readOnlyAbove(s, v.Target)
		if outer == "" {
			return &causeError{"the image has nothing there, and the root file system is read-only: make it in the image, or take read_only away", err}
		}
		return &causeError{outer + " is mounted read-only and has nothing there: make it in the source of that mount, or mount that writable", err}
	}
	return &causeError{strings.TrimSpace(said[strings.LastIndex(said, ":")+1:]), err}
}

// readOnlyAbove is the innermost read-only mount that a path lies in, or "".
func readOnlyAbove(s *spec.Service, path string) string {
	outer := ""
	for _, v := range s.Volumes {
		target := filepath.Clean(v.Target)
		if v.ReadOnly && strings.HasPrefix(path, strings.TrimSuffix(target, "/")+"/") && len(target) > len(outer) {
			outer = target
		}
	}
	return outer
}

// memoryCause says of what runc says that the limit of memory is too low to
// start anything; "" if it is not that.
func memoryCause(said string) string {
	m := regexp.MustCompile(`unable to set memory limit to (\d+) \(current usage: \d+, peak usage: (\d+)\)`).FindStringSubmatch(said)
	switch {
	case m != nil:
		limit, _ := strconv.ParseInt(m[1], 10, 64)
		peak, _ := strconv.ParseInt(m[2], 10, 64)
		return fmt.Sprintf("%s is too little: starting a container takes %s before its program runs", megabytes(limit), megabytes(peak))
	case strings.Contains(said, "OOM-killed"):
		return "it is too little: the container ran out of memory before its program ran"
	}
	return ""
}

func megabytes(n int64) string { return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MB" }
