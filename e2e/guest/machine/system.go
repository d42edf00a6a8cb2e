package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/orlop/orlop/e2e/lab"
)

// systemSize is of the file system with the programs.
const systemSize = "320M"

// keptFor is how long a guest stays in the cache that nobody has used.
const keptFor = 24 * time.Hour

// makeSystem makes the disk that a guest has as its root, read-only, and the
// archive that it boots with, where they are not there.
func (b *build) makeSystem(ctx context.Context) error {
	key, err := b.key()
	if err != nil {
		return err
	}
	dir := filepath.Join(b.cache, "system-"+key)
	b.guest.archive, b.guest.system = filepath.Join(dir, "boot.cpio"), filepath.Join(dir, "root.ext4")
	if now := time.Now(); os.Chtimes(dir, now, now) == nil {
		return nil
	}
	b.forgetOld()
	fresh, err := os.MkdirTemp(b.cache, "fresh-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	tree := filepath.Join(fresh, "tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return err
	}
	if err := b.fill(ctx, tree); err != nil {
		return err
	}
	if err := b.makeArchive(filepath.Join(fresh, "boot.cpio")); err != nil {
		return err
	}
	if _, err := run(ctx, fresh, "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-O", "^has_journal", "-d", tree, "root.ext4", systemSize); err != nil {
		return err
	}
	err = errors.Join(os.RemoveAll(tree), os.Rename(fresh, dir))
	if _, there := os.Stat(b.guest.system); there == nil { // another process may have been quicker
		return nil
	}
	return err
}

// forgetOld removes guests of other programs. One may run yet.
func (b *build) forgetOld() {
	all, _ := filepath.Glob(filepath.Join(b.cache, "system-*"))
	for _, dir := range all {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > keptFor {
			_ = os.RemoveAll(dir)
		}
	}
}

// fill makes the root of a guest.
func (b *build) fill(ctx context.Context, tree string) error {
	for _, dir := range []string{"bin", "dev", "etc", "images", "lib/modules", "proc", "run", "sys", "tmp", "usr", "var/lib"} {
		if err := os.MkdirAll(filepath.Join(tree, dir), 0o755); err != nil {
			return err
		}
	}
	for link, target := range map[string]string{"sbin": "bin", "usr/bin": "../bin", "usr/sbin": "../bin", "var/tmp": "../tmp", "var/run": "../run"} {
		if err := os.Symlink(target, filepath.Join(tree, link)); err != nil {
			return err
		}
	}
	copies := map[string]string{filepath.Join(b.cache, "guest"): "bin/guest",
		filepath.Join(b.repository, ".cache", "images", "busybox.tar"): "images/busybox.tar"}
	for _, name := range lab.Programs() {
		copies[filepath.Join(b.repository, "bin", name)] = "bin/" + name
	}
	for from, to := range copies {
		if _, err := run(ctx, tree, "cp", from, to); err != nil {
			return err
		}
	}
	files := map[string]string{"/etc/passwd": "root:x:0:0:root:/tmp:/bin/sh\n", "/etc/group": "root:x:0:\n",
		"/etc/hosts": "127.0.0.1 localhost\n", "/etc/resolv.conf": ""}
	for path, text := range b.files {
		files[path] = text
	}
	for path, text := range files {
		full := filepath.Join(tree, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(full, []byte(text), 0o755); err != nil {
			return err
		}
	}
	return b.install(ctx, tree)
}

// install puts programs of this machine in, and the kernel's modules.
func (b *build) install(ctx context.Context, tree string) error {
	nft, err := exec.LookPath("nft")
	if err != nil {
		return err
	}
	if _, err := run(ctx, tree, "cp", nft, "bin/nft"); err != nil {
		return err
	}
	if err := libraries(ctx, tree, nft); err != nil { // Orlop's own programs need none
		return err
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	script := `cp "$1" bin/busybox
for name in $(bin/busybox --list); do [ -e bin/"$name" ] || ln -s busybox bin/"$name"; done
to=lib/modules/"$3"
mkdir -p "$to"
cp "$2"/modules.* "$to"
shift 3
for part do mkdir -p "$to/kernel/$(dirname "$part")"; cp -r "$FROM/kernel/$part" "$to/kernel/$part"; done
bin/busybox depmod -b "$PWD" "${to##*/}"`
	c := exec.CommandContext(ctx, "sh", append([]string{"-ec", script, "sh", busybox, b.modules, b.release}, parts...)...)
	c.Dir, c.Env = tree, append(os.Environ(), "FROM="+b.modules)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot fill a guest's disk: %w\n%s", err, out)
	}
	return nil
}

// libraries copies what a program is linked with, each where it is looked for.
func libraries(ctx context.Context, tree, program string) error {
	out, err := run(ctx, tree, "ldd", program)
	if err != nil {
		return err
	}
	for word := range strings.FieldsSeq(out) {
		if !strings.HasPrefix(word, "/") {
			continue
		}
		to := filepath.Join(tree, word)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if _, err := run(ctx, tree, "cp", "-L", word, to); err != nil {
			return err
		}
	}
	return nil
}
