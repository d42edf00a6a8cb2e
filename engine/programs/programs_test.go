package programs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOlderThan(t *testing.T) {
	floor := [3]int{1, 5, 1}
	for version, want := range map[string]bool{
		"1.5.1": false, "1.5.2": false, "1.6.0": false, "2.0.0": false, "1.10.0": false, "1.5.10": false,
		"1.5.2-rc.1": false, "1.5.1+dev": false, "1.5.1-dirty": false, "1.5.1-0ubuntu1": false,
		"1.5.0": true, "1.4.9": true, "0.9.9": true, "1.5": true, "1.5.1-rc.2": true, "1.5.0+dev": true,
		"": true, "unknown": true,
	} {
		if got := olderThan(version, floor); got != want {
			t.Errorf("olderThan(%q) is %v", version, got)
		}
	}
}

// libexec makes a directory with programs of which runc says its version.
func libexec(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"runc", "orlop-shim", "containerd-shim-runc-v2", "orlopd", "orlop-exec"} {
		text := fmt.Sprintf("#!/bin/sh\necho runc version %s\necho spec: 1.3\n", version)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestInstallCopiesPrograms(t *testing.T) {
	from, root, bundles := libexec(t, "1.5.2"), t.TempDir(), t.TempDir()
	p, err := Install(from, root, bundles)
	if err != nil {
		t.Fatal(err)
	}
	if p.RuncVersion != "1.5.2" {
		t.Errorf("runc is %q", p.RuncVersion)
	}
	for _, path := range []string{p.Runc, p.Shim, p.Init} {
		st, err := os.Lstat(path)
		if err != nil || !st.Mode().IsRegular() || st.Mode().Perm() != 0o755 || !strings.HasPrefix(path, root) {
			t.Errorf("%s: %v, %v", path, st, err)
		}
	}
	again, err := Install(from, root, bundles)
	if err != nil || again != p {
		t.Errorf("a second install gives %+v, %v", again, err)
	}
	if err := os.WriteFile(filepath.Join(from, "runc"), []byte("#!/bin/sh\necho runc version 1.6.0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	task := filepath.Join(bundles, "0a", "options.json")
	if err := errors.Join(os.Mkdir(filepath.Dir(task), 0o700), os.WriteFile(task, []byte(`{"binary_name":"`+p.Runc+`"}`), 0o600)); err != nil {
		t.Fatal(err)
	}
	newer, err := Install(from, root, bundles)
	if err != nil || newer.Runc == p.Runc || newer.RuncVersion != "1.6.0" {
		t.Errorf("an upgrade gives %+v, %v", newer, err)
	}
	if _, err := os.Stat(p.Runc); err != nil {
		t.Errorf("the old version, with which a task was made, is gone: %v", err)
	}
	if err := errors.Join(os.Remove(task), os.WriteFile(filepath.Join(from, "runc"), []byte("#!/bin/sh\necho runc version 1.6.1\n"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if _, err := Install(from, root, bundles); err != nil {
		t.Fatal(err)
	}
	for _, old := range []string{p.Runc, newer.Runc} {
		if _, err := os.Stat(old); err == nil {
			t.Errorf("%s, which no process runs, is still there", old)
		}
	}
}

// TestInstallRefusesOldOrMissingPrograms holds what the line of the risk says.
//
// Risk upgrades: runc is older than the one without known holes
// Held: the engine does not start
func TestInstallRefusesOldOrMissingPrograms(t *testing.T) {
	if _, err := Install(libexec(t, "1.4.0"), t.TempDir(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "runc 1.4.0 is too old") {
		t.Errorf("an old runc: %v", err)
	}
	from := libexec(t, "1.5.2")
	if err := os.Remove(filepath.Join(from, "orlopd")); err != nil {
		t.Fatal(err)
	}
	if _, err := Install(from, t.TempDir(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "orlopd is missing") {
		t.Errorf("a missing program: %v", err)
	}
}
