// Package machine runs Orlop in a machine of its own, under software
// emulation, so that it can lose its power, its clock and its memory. The
// machine is made of packages of Debian, of the programs in bin/, and of a disk
// with a write cache. It knows the product as little as e2e/lab does.
package machine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/orlop/orlop/e2e/lab"
)

// kernelPackage leads to the newest kernel: a small one, for machines like this.
const kernelPackage = "linux-image-cloud-amd64"

// drivers are what the machine needs before it has a disk, in their order.
var drivers = []string{"virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk", "virtio_console"}

// parts are the directories of modules that a guest has.
var parts = []string{"net", "lib", "crypto", "fs/overlayfs", "fs/fuse", "drivers/net/veth.ko", "drivers/net/dummy.ko"}

// Guest is what a machine is made of, but for its data disk.
type Guest struct {
	kernel, archive, system string
}

// Missing says what this machine lacks for guests, beside what is made here.
func Missing() error {
	var missing []string
	for _, name := range []string{"qemu-system-x86_64", "mke2fs", "busybox", "nft", "dpkg-deb", "apt-get"} {
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s not found: run \"make deps\"", strings.Join(missing, ", "))
	}
	return nil
}

// Prepare makes the parts of guests in .cache/guest of the repository, where
// they are not there as its programs and files are now. Files are what a guest
// has beside them, by their paths.
func Prepare(ctx context.Context, repository string, files map[string]string) (*Guest, error) {
	if err := errors.Join(Missing(), lab.FindPrograms(filepath.Join(repository, "bin"))); err != nil {
		return nil, err
	}
	repository, err := filepath.Abs(repository)
	if err != nil {
		return nil, err
	}
	b := &build{repository: repository, cache: filepath.Join(repository, ".cache", "guest"), files: files}
	if err := os.MkdirAll(b.cache, 0o755); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{b.fetchKernel, b.buildProgram, b.makeSystem} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("cannot make a guest: %w", err)
		}
	}
	return &b.guest, nil
}

type build struct {
	repository, cache string
	files             map[string]string
	release           string // of the kernel
	modules           string // its directory of modules
	program           []byte // of the guest
	guest             Guest
}

// run runs a program and gives what it printed.
func run(ctx context.Context, dir, name string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = dir
	var complaint bytes.Buffer
	c.Stderr = &complaint
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, complaint.String())
	}
	return string(out), nil
}

// fetchKernel unpacks the newest kernel into the cache; one that is there serves
// as well where no package can be fetched.
func (b *build) fetchKernel(ctx context.Context) error {
	kernels, _ := filepath.Glob(filepath.Join(b.cache, "kernel-*"))
	if len(kernels) == 0 {
		out, err := run(ctx, b.cache, "apt-cache", "depends", kernelPackage)
		if err != nil {
			return err
		}
		m := regexp.MustCompile(`linux-image-(\S+-cloud-amd64)`).FindStringSubmatch(out)
		if m == nil {
			return fmt.Errorf("there is no package %s: guests need Debian's packages", kernelPackage)
		}
		temporary, err := os.MkdirTemp(b.cache, "fetch-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temporary)
		if _, err := run(ctx, temporary, "apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "linux-image-"+m[1]); err != nil {
			return err
		}
		debs, _ := filepath.Glob(filepath.Join(temporary, "*.deb"))
		if len(debs) != 1 {
			return fmt.Errorf("%d packages came for linux-image-%s", len(debs), m[1])
		}
		if _, err := run(ctx, temporary, "dpkg-deb", "-x", debs[0], "tree"); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(temporary, "tree"), filepath.Join(b.cache, "kernel-"+m[1])); err != nil {
			return err
		}
		kernels = []string{filepath.Join(b.cache, "kernel-"+m[1])}
	}
	dir := slices.Max(kernels)
	b.release = strings.TrimPrefix(filepath.Base(dir), "kernel-")
	b.modules = filepath.Join(dir, "lib", "modules", b.release)
	b.guest.kernel = filepath.Join(dir, "boot", "vmlinuz-"+b.release)
	return nil
}

// buildProgram builds the program of a guest.
func (b *build) buildProgram(ctx context.Context) error {
	program := filepath.Join(b.cache, "guest")
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./e2e/guest/inside")
	c.Dir, c.Env = b.repository, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	var err error
	b.program, err = os.ReadFile(program)
	return err
}

// makeArchive makes what the kernel unpacks and runs first.
func (b *build) makeArchive(path string) error {
	var out bytes.Buffer
	a := &archive{w: &out}
	for _, dir := range []string{"dev", "system", "drivers"} {
		a.directory(dir)
	}
	a.device("dev/console", 5, 1)
	a.program("init", b.program)
	var names []string
	for _, name := range drivers {
		text, err := b.module(name)
		if err != nil {
			return err
		}
		a.program("drivers/"+name+".ko", text)
		names = append(names, name+".ko")
	}
	a.program("drivers/order", []byte(strings.Join(names, "\n")))
	if err := a.close(); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}

// module reads a module of the kernel.
func (b *build) module(name string) ([]byte, error) {
	out, err := run(context.Background(), b.modules, "find", ".", "-name", name+".ko")
	if err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(b.modules, strings.TrimSpace(out)))
}

// key is a digest of all that the system's disk is made of.
func (b *build) key() (string, error) {
	h := sha256.New()
	inputs := []string{filepath.Join(b.cache, "guest"), filepath.Join(b.repository, ".cache", "images", "busybox.tar")}
	for _, name := range lab.Programs() {
		inputs = append(inputs, filepath.Join(b.repository, "bin", name))
	}
	for _, path := range inputs {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(h, f)
		f.Close()
		if err != nil {
			return "", err
		}
	}
	fmt.Fprintln(h, b.release, parts)
	for _, path := range sortedNames(b.files) {
		fmt.Fprintf(h, "%q %q\n", path, b.files[path])
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

func sortedNames(files map[string]string) []string {
	var names []string
	for n := range files {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
