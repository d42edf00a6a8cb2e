package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestADocumentLosesX32Alone(t *testing.T) {
	for before, want := range map[string]string{
		`{"ociVersion":"1.3.0","linux":{"seccomp":{"architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86","SCMP_ARCH_X32"],"defaultErrnoRet":38},"maskedPaths":["/proc/kcore"]}}`: `{"linux":{"maskedPaths":["/proc/kcore"],"seccomp":{"architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],"defaultErrnoRet":38}},"ociVersion":"1.3.0"}`,
		`{"linux":{"seccomp":{"architectures":["SCMP_ARCH_AARCH64"]}}}`: "",
		`{"linux":{}}`: "", `{}`: "",
		`{"linux":{"resources":{"memory":{"limit":9007199254740993}},"seccomp":{"architectures":["SCMP_ARCH_X32"]}}}`: `{"linux":{"resources":{"memory":{"limit":9007199254740993}},"seccomp":{"architectures":[]}}}`,
	} {
		path := filepath.Join(t.TempDir(), "config.json")
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := withoutX32(path); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if want == "" {
			want = before
		}
		if string(got) != want {
			t.Errorf("%s becomes\n%s, want\n%s", before, got, want)
		}
	}
	bad := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(bad, []byte(`{"linux":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if withoutX32(bad) == nil {
		t.Error("what is no document is one")
	}
}

func TestWhoseDocumentAStepBegins(t *testing.T) {
	for line, want := range map[string]string{
		"--log l --log-format json run --bundle /b --keep id": "/b",
		"run --bundle=/b id":              "/b",
		"create -b /b id":                 "/b",
		"--log l delete id":               "",
		"exec --process /p id":            "",
		"run id":                          "",
		"--log l kill --bundle /b id all": "",
	} {
		if got := bundleOf(strings.Fields(line)); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// TestAStepIsTheRuncBesideUs: by a link, with the notes of its own.
func TestAStepIsTheRuncBesideUs(t *testing.T) {
	libexec, dir, bundle := t.TempDir(), t.TempDir(), t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(bundle, "config.json")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Link(self, filepath.Join(libexec, "orlopd")))
	must(os.WriteFile(filepath.Join(libexec, "runc"), []byte("#!/bin/sh\necho \"$@\"\n"), 0o755))
	must(os.Symlink(filepath.Join(libexec, "orlopd"), filepath.Join(dir, stepRunner)))
	must(os.WriteFile(config, []byte(`{"linux":{"seccomp":{"architectures":["SCMP_ARCH_X32"]}}}`), 0o600))
	c := exec.Command(filepath.Join(dir, stepRunner), "run", "--bundle", bundle, "id")
	if out, err := c.CombinedOutput(); err == nil || !strings.Contains(string(out), "cannot tell where build steps are noted") {
		t.Errorf("without notes: %s, %v", out, err)
	}
	must(os.WriteFile(filepath.Join(dir, stepRunner+".root"), []byte("/notes of steps\n"), 0o600))
	out, err := exec.Command(filepath.Join(dir, stepRunner), "run", "--bundle", bundle, "id").CombinedOutput()
	if want := "--root /notes of steps run --bundle " + bundle + " id\n"; string(out) != want || err != nil {
		t.Errorf("runc is called with %q, %v, want %q", out, err, want)
	}
	if text, err := os.ReadFile(config); err != nil || strings.Contains(string(text), "X32") {
		t.Errorf("the document is %s, %v", text, err)
	}
}
