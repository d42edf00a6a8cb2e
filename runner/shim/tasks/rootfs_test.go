package tasks

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types"
	"golang.org/x/sys/unix"
)

// What is mounted goes with its place; where more is mounted below, that goes first. What is
// gone already is no error.
func TestARootIsRemoved(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs to mount")
	}
	for what, mounts := range map[string][]string{"nothing": nil, "one": {""}, "two, one on the other": {"", ""}, "one below another": {"", "below"}} {
		at := filepath.Join(t.TempDir(), "rootfs")
		for _, m := range mounts {
			path := filepath.Join(at, m)
			if err := os.MkdirAll(path, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("none", path, "tmpfs", 0, ""); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
		}
		if err := removeRoot(at); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if err := unix.Unmount(at, 0); !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			t.Errorf("%s: still mounted: %v", what, err)
		}
		if err := removeRoot(at); err != nil {
			t.Errorf("%s, once more: %v", what, err)
		}
	}
	if err := removeRoot(""); err != nil {
		t.Error(err)
	}
}

// What the kernel takes as it is is left to the container; all else is containerd's.
func TestWhichRootAContainerMounts(t *testing.T) {
	layers := []string{"index=off", "workdir=/w", "upperdir=/u", "lowerdir=/a:/b"}
	for what, c := range map[string]struct {
		mounts []*types.Mount
		want   bool
	}{
		"layers":                {[]*types.Mount{{Type: "overlay", Source: "overlay", Options: layers}}, true},
		"none":                  {nil, false},
		"one directory":         {[]*types.Mount{{Type: "bind", Source: "/u", Options: []string{"rbind", "rw"}}}, false},
		"for reading":           {[]*types.Mount{{Type: "overlay", Options: append(slices.Clone(layers), "ro")}}, false},
		"mapped by containerd":  {[]*types.Mount{{Type: "overlay", Options: append(slices.Clone(layers), "uidmap=0:1000:1")}}, false},
		"below another":         {[]*types.Mount{{Type: "overlay", Target: "a", Options: layers}}, false},
		"more than one":         {[]*types.Mount{{Type: "overlay", Options: layers}, {Type: "overlay", Options: layers}}, false},
		"more than a page says": {[]*types.Mount{{Type: "overlay", Options: []string{"lowerdir=" + strings.Repeat("/a:", 2000)}}}, false},
	} {
		r := &taskapi.CreateTaskRequest{Bundle: t.TempDir(), Rootfs: c.mounts}
		got, err := noted(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(c.mounts) > 0 && len(got.Rootfs) == 0; got != c.want || len(r.Rootfs) != len(c.mounts) {
			t.Errorf("%s: it is left to the container: %t", what, got)
		}
		if _, err := os.Stat(filepath.Join(r.Bundle, "rootfs")); (err == nil) != c.want {
			t.Errorf("%s: its place: %v", what, err)
		}
	}
	r := &taskapi.CreateTaskRequest{Bundle: t.TempDir(), Rootfs: []*types.Mount{{Type: "overlay", Options: layers}}, Checkpoint: "/c"}
	if got, err := noted(r); err != nil || len(got.Rootfs) != 1 {
		t.Errorf("one that is restored: %v, %v", got.Rootfs, err)
	}
}
