package main

import (
	"bytes"
	"errors"
	"testing"

	"github.com/sirupsen/logrus"
)

func TestTheLogHasOnlyNews(t *testing.T) {
	var out bytes.Buffer
	l := logrus.New()
	l.SetOutput(&out)
	l.SetFormatter(calm{&logrus.TextFormatter{DisableColors: true, DisableTimestamp: true}})
	l.Error("copy shim log")
	l.WithError(errors.New("rpc error: code = NotFound desc = container not created: not found")).Error("failed to delete task")
	l.WithError(errors.New("open /sys/fs/cgroup/x/memory.events: no such file or directory")).Warn("failed to read oom_kill event")
	if out.Len() > 0 {
		t.Errorf("noise is printed: %s", out.String())
	}
	l.WithError(errors.New("input/output error")).Error("failed to delete task")
	if want := "level=error msg=\"failed to delete task\" error=\"input/output error\"\n"; out.String() != want {
		t.Errorf("news are %q, want %q", out.String(), want)
	}
}
