package remote

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestADigestIsOfItsRepository: what was fetched of one is not another's by the same
// digest, as where somebody changes nothing but a digest in orlop.lock.
func TestADigestIsOfItsRepository(t *testing.T) {
	s, dirs := New(Config{Cache: "/c"}), map[string][]string{}
	for _, text := range []string{
		"https://g.test/org/infra.git#v3", "https://token@g.test/org/infra.git#v4:sub", "https://evil.test/x.git#v3", "git@g.test:org/infra.git#v3",
		"oci://r.test/org/infra:1", "oci://r.test/org/infra:2", "oci://r.test/evil/x:1", "oci://evil.test/org/infra:1",
	} {
		ref, err := parse(text)
		if err != nil {
			t.Fatal(err)
		}
		dir := s.dirOf(ref, strings.Repeat("0", 40))
		dirs[dir] = append(dirs[dir], text)
	}
	for dir, texts := range dirs {
		if filepath.Base(dir) != strings.Repeat("0", 40) || len(texts) > 1 && !strings.Contains(texts[0], "/org/infra") || len(dirs) != 6 {
			t.Errorf("%s is of %q, of %d", dir, texts, len(dirs))
		}
	}
}

// TestLockFiles that can't be used are told of, and made anew by an update.
func TestLockFiles(t *testing.T) {
	for text, want := range map[string]string{
		"version: 1\nremotes:\n<<<<<<< HEAD\n":                                    "mend it, or make it anew",
		"version: 3\nremotes: {}\n":                                               "version 3",
		"version: 2\nimages: {'redis:7': latest}\n":                               "orlop.lock:2:21: \"latest\" of redis:7 is not a digest",
		"version: 1\nremotes: {'oci://x/y:1': latest}\n":                          "neither a commit nor a digest",
		"version: 1\nextra: 1\n":                                                  `orlop.lock:2:1: unknown key "extra": there are version, remotes, images`,
		"version: one\nremote: [a]\n":                                             `the lock is damaged: orlop.lock:1:10: version: expected a number, not "one"; orlop.lock:2:1: unknown key "remote": did you mean "remotes"?: mend it`,
		"version: 1\nremotes: {'oci://x/y:1': 'sha256:../../../../etc/passwd'}\n": "neither",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, LockFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s := New(Config{Cache: t.TempDir(), Offline: true})
		if _, err := s.Fetch(t.Context(), "oci://x.test/y:1", dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
		update := New(Config{Cache: t.TempDir(), Update: true})
		update.lock, _ = readLock(dir)
		update.used["oci://x.test/y:1"] = "sha256:" + strings.Repeat("a", 64)
		if changes, err := update.Save(dir, true); err != nil || len(changes) != 1 {
			t.Errorf("%q: changes are %v, %v", text, changes, err)
		}
	}
}

// TestCIMakesNoEntry: the digest is one that somebody has looked at.
func TestCIMakesNoEntry(t *testing.T) {
	s := New(Config{Cache: t.TempDir(), Frozen: true})
	if _, err := s.Fetch(t.Context(), "oci://x.test/y:1", t.TempDir()); err == nil || !strings.Contains(err.Error(), "commit orlop.lock") {
		t.Errorf("said is %v", err)
	}
}

// TestALockThatCannotBeWritten is an error that the caller goes on after.
func TestALockThatCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "absent")
	s := New(Config{Cache: t.TempDir()})
	s.lock, _ = readLock(dir)
	s.used["oci://x.test/y:1"] = "sha256:" + strings.Repeat("a", 64)
	if _, err := s.Save(dir, true); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("said is %v", err)
	}
	if changes, err := s.Save(dir, false); err != nil || changes != nil {
		t.Errorf("without being asked for one: %v, %v", changes, err)
	}
}

// TestAnUpdateDropsWhatNothingNames, and removes a lock without entries.
func TestAnUpdateDropsWhatNothingNames(t *testing.T) {
	dir := t.TempDir()
	if err := writeLock(filepath.Join(dir, LockFile), map[string]string{"oci://x.test/y:1": "sha256:" + strings.Repeat("a", 64)}, nil); err != nil {
		t.Fatal(err)
	}
	s := New(Config{Cache: t.TempDir(), Update: true})
	changes, err := s.Save(dir, true)
	if err != nil || len(changes) != 1 || !strings.Contains(changes[0], "named no more") {
		t.Errorf("changes are %v, %v", changes, err)
	}
	if _, err := os.Stat(filepath.Join(dir, LockFile)); err == nil {
		t.Error("an empty lock is there")
	}
}

// TestImagesAndRemotesShareALock: who writes the ones leaves the others.
func TestImagesAndRemotesShareALock(t *testing.T) {
	dir, sum := t.TempDir(), func(c string) string { return "sha256:" + strings.Repeat(c, 64) }
	images := map[string]string{"redis:7": sum("a"), "busybox:latest": sum("b")}
	if changes, err := SaveImages(dir, images, false); err != nil || len(changes) != 2 {
		t.Fatalf("%v, %v", changes, err)
	}
	s := New(Config{Cache: t.TempDir()})
	s.lock, _ = readLock(dir)
	s.used["oci://x.test/y:1"] = sum("c")
	if _, err := s.Save(dir, true); err != nil {
		t.Fatal(err)
	}
	images["redis:7"] = sum("d")
	if changes, err := SaveImages(dir, images, false); err != nil || len(changes) != 1 || changes[0] != "redis:7: aaaaaaaaaaaa -> dddddddddddd" {
		t.Errorf("%v, %v", changes, err)
	}
	l, err := readLock(dir)
	if err != nil || l.digests["oci://x.test/y:1"] != sum("c") || l.images["redis:7"] != sum("d") || len(l.images) != 2 {
		t.Errorf("%+v, %v", l, err)
	}
	if changes, err := SaveImages(dir, nil, false); err != nil || len(changes) != 2 {
		t.Errorf("%v, %v", changes, err)
	}
	if l, err := readLock(dir); err != nil || len(l.digests) != 1 || len(l.images) != 0 {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestLockNames(t *testing.T) {
	for ref, want := range map[string]string{
		"redis": "redis:latest", "docker.io/library/redis:7": "redis:7", "r.test:5000/a/b": "r.test:5000/a/b:latest", "redis@sha256:" + strings.Repeat("a", 64): "",
		"redis:7@sha256:" + strings.Repeat("a", 64): "",
	} {
		if got, err := LockName(ref); got != want || err != nil {
			t.Errorf("%s is %q, %v", ref, got, err)
		}
	}
	if _, err := LockName("A B"); err == nil {
		t.Error("any name will do")
	}
}
