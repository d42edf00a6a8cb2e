package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// stepRunner is the name under which orlopd is what BuildKit takes for runc.
const stepRunner = "orlop-runc"

// runStep is what orlopd does as BuildKit's runc: it is the runc beside it, with
// two things that BuildKit can't be told. The runtime keeps its notes where the
// file named like the program, with .root, says, not in the machine's /run/runc;
// and the document of a step that is about to begin has no rules for x32.
func runStep(program string, args []string) int {
	if err := execStep(program, args); err != nil {
		fmt.Fprintln(os.Stderr, stepRunner+":", err)
	}
	return 1
}

func execStep(program string, args []string) error {
	self, err := filepath.EvalSymlinks(program)
	if err != nil {
		return err
	}
	notes, err := os.ReadFile(program + ".root")
	if err != nil {
		return fmt.Errorf("cannot tell where build steps are noted: %w", err)
	}
	if bundle := bundleOf(args); bundle != "" {
		if err := withoutX32(filepath.Join(bundle, "config.json")); err != nil {
			return fmt.Errorf("cannot change the document of a build step: %w", err)
		}
	}
	runc := filepath.Join(filepath.Dir(self), "runc")
	err = syscall.Exec(runc, append([]string{runc, "--root", strings.TrimSpace(string(notes))}, args...), os.Environ())
	return fmt.Errorf("cannot run %s: %w", runc, err)
}

// bundleOf is the bundle of the container that is to be made, "" where none is.
func bundleOf(args []string) string {
	if !slices.Contains(args, "run") && !slices.Contains(args, "create") {
		return ""
	}
	for i, a := range args {
		if value, ok := strings.CutPrefix(a, "--bundle="); ok {
			return value
		}
		if (a == "--bundle" || a == "-b") && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

// withoutX32 takes the x32 ABI out of the seccomp profile of an OCI runtime
// document: see docs/adr/seccomp-without-x32.md. All else stays as it is.
func withoutX32(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var doc, linux, seccomp map[string]json.RawMessage
	var architectures []string
	if err := json.Unmarshal(text, &doc); err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return unpack(doc["linux"], &linux) },
		func() error { return unpack(linux["seccomp"], &seccomp) },
		func() error { return unpack(seccomp["architectures"], &architectures) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	if !slices.Contains(architectures, "SCMP_ARCH_X32") {
		return nil
	}
	architectures = slices.DeleteFunc(architectures, func(a string) bool { return a == "SCMP_ARCH_X32" })
	var errs [4]error
	seccomp["architectures"], errs[0] = json.Marshal(architectures)
	linux["seccomp"], errs[1] = json.Marshal(seccomp)
	doc["linux"], errs[2] = json.Marshal(linux)
	text, errs[3] = json.Marshal(doc)
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// unpack reads a part of a document, which may be absent.
func unpack(part json.RawMessage, into any) error {
	if part == nil {
		return nil
	}
	return json.Unmarshal(part, into)
}
