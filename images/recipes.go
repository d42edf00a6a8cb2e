package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const (
	systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	localCAs   = "/usr/local/share/ca-certificates"
	caBundle   = "/etc/ssl/certs/ca-certificates.crt"
)

// recipes lists the images, as this machine can make them.
func recipes(ctx context.Context) ([]image, error) {
	busybox, err := busyboxLayer(ctx)
	if err != nil {
		return nil, err
	}
	debian, err := debianLayer(ctx)
	if err != nil {
		return nil, err
	}
	golang, version, err := golangLayer(ctx)
	if err != nil {
		return nil, err
	}
	label := map[string]string{"dev.orlop.image.made-from": "packages, apt settings and CA certificates of the machine that made it"}
	minor := version
	if strings.Count(version, ".") == 2 {
		minor = version[:strings.LastIndexByte(version, '.')]
	}
	return []image{{
		repository: "busybox", tags: []string{"latest", "1"},
		layers: []layerRecipe{busybox},
		config: imageConfig{Env: []string{"PATH=" + systemPath}, Cmd: []string{"sh"}, Labels: label},
	}, {
		repository: "debian", tags: []string{"bookworm-slim", "bookworm", "12-slim", "12"},
		layers: []layerRecipe{debian},
		config: imageConfig{Env: []string{"PATH=" + systemPath}, Cmd: []string{"bash"}, Labels: label},
	}, {
		repository: "golang", tags: slices.Compact([]string{minor + "-bookworm", minor, version + "-bookworm", version, "bookworm"}),
		layers: []layerRecipe{debian, golang},
		config: imageConfig{
			Env: []string{"PATH=/go/bin:/usr/local/go/bin:" + systemPath, "GOLANG_VERSION=" + version,
				"GOTOOLCHAIN=local", "GOPATH=/go"},
			Cmd: []string{"bash"}, WorkingDir: "/go", Labels: label,
		},
	}}, nil
}

// busyboxLayer holds the machine's static busybox with a link for each of its applets.
func busyboxLayer(ctx context.Context) (layerRecipe, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return layerRecipe{}, errors.New("no busybox here: install the package busybox-static (make deps)")
	}
	if err := checkStatic(path); err != nil {
		return layerRecipe{}, err
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return layerRecipe{}, err
	}
	list, err := exec.CommandContext(ctx, path, "--list-full").Output()
	if err != nil {
		return layerRecipe{}, fmt.Errorf("%s --list-full: %w", path, err)
	}
	applets := strings.Fields(string(list))
	slices.Sort(applets)
	return layerRecipe{
		name:   "busybox",
		inputs: fmt.Sprintf("v1 %x %s", sha256.Sum256(program), applets),
		write: func(_ context.Context, out *layerWriter) error {
			for _, dir := range []string{"bin", "dev", "etc", "home", "proc", "root", "sbin", "sys", "tmp", "usr", "usr/bin",
				"usr/sbin", "var", "var/log", "var/run", "var/spool", "var/spool/mail", "var/www"} {
				out.dir(dir, dirMode(dir))
			}
			out.file("bin/busybox", 0o755, program)
			for _, applet := range applets {
				if applet != "bin/busybox" {
					out.link(applet, "/bin/busybox")
				}
			}
			out.file("etc/passwd", 0o644, []byte(busyboxPasswd))
			out.file("etc/group", 0o644, []byte(busyboxGroup))
			out.file("etc/nsswitch.conf", 0o644, []byte("hosts: files dns\n"))
			return out.err
		},
	}, nil
}

const busyboxPasswd = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
mail:x:8:8:mail:/var/spool/mail:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
`

const busyboxGroup = `root:x:0:
daemon:x:1:
bin:x:2:
tty:x:5:
mail:x:8:
www-data:x:33:
users:x:100:
nogroup:x:65534:
`

func dirMode(dir string) int64 {
	switch dir {
	case "tmp":
		return 0o1777
	case "root":
		return 0o700
	}
	return 0o755
}

// checkStatic refuses a program that needs libraries which the image won't have.
func checkStatic(path string) error {
	program, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%s is not a program for Linux: %w", path, err)
	}
	defer program.Close()
	for _, segment := range program.Progs {
		if segment.Type == elf.PT_INTERP {
			return fmt.Errorf("%s needs shared libraries: install the package busybox-static in place of busybox", path)
		}
	}
	return nil
}

// debianLayer holds the smallest bookworm that apt works in, without manuals and translations, and with the habits that
// Debian's own container images have: no service starts while packages install, and apt keeps no archives.
// So that apt works in builds wherever it works on this machine, the machine's proxy and date settings go in too.
func debianLayer(ctx context.Context) (layerRecipe, error) {
	settings, err := aptSettings(ctx)
	if err != nil {
		return layerRecipe{}, err
	}
	cas, err := readTree(localCAs, ".crt")
	if err != nil {
		return layerRecipe{}, err
	}
	args := []string{"--quiet", "--mode=root", "--variant=minbase", "--format=tar", "--include=usr-is-merged,netbase,tzdata",
		"--setup-hook=" + refuseUsrmerge, "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "--customize-hook=" + allowUsrmerge,
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-include=/usr/share/doc/*/copyright",
		"--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/info/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/groff/*",
		"--dpkgopt=path-exclude=/usr/share/lintian/*", "--dpkgopt=force-unsafe-io"}
	for _, setting := range settings {
		args = append(args, "--aptopt="+setting)
	}
	args = append(args, "bookworm", "-")
	if mirror := os.Getenv("DEBIAN_MIRROR"); mirror != "" {
		args = append(args, mirror)
	}
	return layerRecipe{
		name:   "debian-bookworm",
		inputs: fmt.Sprintf("v2 %q %q", args, cas),
		write: func(ctx context.Context, out *layerWriter) error {
			if err := bootstrap(ctx, args, out); err != nil {
				return err
			}
			for _, f := range debianFiles {
				out.file(f.path, f.mode, []byte(f.text))
			}
			for _, ca := range cas {
				out.file(strings.TrimPrefix(ca.path, "/"), 0o644, ca.content)
			}
			return out.err
		},
	}, nil
}

// The package usrmerge drags the whole of Perl in for a conversion that a fresh tree doesn't need.
const (
	refuseUsrmerge = `mkdir -p "$1/etc/apt/preferences.d" && ` +
		`printf 'Package: usrmerge\nPin: release *\nPin-Priority: -1\n' >"$1/etc/apt/preferences.d/no-usrmerge"`
	allowUsrmerge = `rm "$1/etc/apt/preferences.d/no-usrmerge"`
)

var debianFiles = []struct {
	path string
	mode int64
	text string
}{
	{"usr/sbin/policy-rc.d", 0o755, "#!/bin/sh\n# No service starts while packages are installed in an image.\nexit 101\n"},
	{"etc/apt/apt.conf.d/docker-clean", 0o644, `// An image keeps no package archives. Remove this file to keep them in a cache mount.
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
`},
	{"etc/apt/apt.conf.d/docker-gzip-indexes", 0o644, "Acquire::GzipIndexes \"true\";\n"},
	{"etc/apt/apt.conf.d/docker-no-languages", 0o644, "Acquire::Languages \"none\";\n"},
}

// bootstrap runs mmdebstrap and takes its tree over, without what belongs to a machine and not to an image.
func bootstrap(ctx context.Context, args []string, out *layerWriter) error {
	if os.Geteuid() != 0 {
		return errors.New("making a Debian tree needs root: run make images as root")
	}
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return errors.New("no mmdebstrap here: install it (make deps)")
	}
	cmd := exec.CommandContext(ctx, "mmdebstrap", args...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", out.epoch.Unix()))
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	copyErr := out.tree(tar.NewReader(stdout), keepInImage)
	if copyErr != nil {
		cmd.Cancel() //nolint:errcheck // it is being given up; Wait tells
	}
	if err := cmd.Wait(); err != nil && copyErr == nil {
		return fmt.Errorf("mmdebstrap: %w\n%s", err, complaints.Bytes())
	}
	return copyErr
}

func keepInImage(name string) bool {
	switch name {
	case "etc/resolv.conf", "etc/hostname", "etc/machine-id", "var/cache/ldconfig/aux-cache":
		return false
	}
	for _, dir := range []string{"dev/", "proc/", "sys/", "run/", "var/log/", "var/cache/debconf/", "var/lib/apt/lists/"} {
		if strings.HasPrefix(name, dir) && name != dir && !strings.HasSuffix(name, "/") {
			return false
		}
	}
	return true
}

// aptSettings returns how apt reaches its mirrors on this machine: proxies, and how much it believes dates.
func aptSettings(ctx context.Context) ([]string, error) {
	dump, err := exec.CommandContext(ctx, "apt-config", "dump", "Acquire").Output()
	if err != nil {
		return nil, fmt.Errorf("apt-config dump: %w (base images can be made on Debian and its kin only)", err)
	}
	var settings []string
	for line := range strings.Lines(string(dump)) {
		key, _, _ := strings.Cut(line, " ")
		if strings.HasPrefix(key, "Acquire::http::Proxy") || strings.HasPrefix(key, "Acquire::https::Proxy") ||
			key == "Acquire::Check-Valid-Until" || key == "Acquire::Check-Date" {
			settings = append(settings, strings.TrimSpace(line))
		}
	}
	return settings, nil
}

// golangLayer holds the machine's Go without its own tests and manuals, and the certificates that module downloads need.
// It returns Go's version as well: "1.26.8".
func golangLayer(ctx context.Context) (layerRecipe, string, error) {
	output, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return layerRecipe{}, "", fmt.Errorf("go env GOROOT: %w", err)
	}
	root := strings.TrimSpace(string(output))
	text, err := os.ReadFile(filepath.Join(root, "VERSION"))
	if err != nil {
		return layerRecipe{}, "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	version := strings.TrimPrefix(strings.TrimSpace(line), "go")
	bundle, err := os.ReadFile(caBundle)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return layerRecipe{}, "", err
	}
	return layerRecipe{
		name:   "golang-" + version,
		inputs: fmt.Sprintf("v1 %q %s %x", text, root, sha256.Sum256(bundle)),
		write: func(_ context.Context, out *layerWriter) error {
			if len(bundle) > 0 {
				for _, dir := range []string{"etc", "etc/ssl", "etc/ssl/certs"} {
					out.dir(dir, 0o755)
				}
				out.file(strings.TrimPrefix(caBundle, "/"), 0o644, bundle)
			}
			for _, dir := range []string{"go", "go/bin", "go/src"} {
				out.dir(dir, 0o1777)
			}
			return out.copyTree(root, "usr/local/go", keepOfGo)
		},
	}, version, nil
}

func keepOfGo(name string) bool {
	top, _, _ := strings.Cut(name, "/")
	switch top {
	case "api", "doc", "misc", "test", ".git", ".github":
		return false
	}
	return !strings.HasSuffix(name, "_test.go") && filepath.Base(name) != "testdata"
}

// A certificate is a file of the machine that goes into an image as it is.
type certificate struct {
	path    string
	content []byte
}

func readTree(dir, suffix string) ([]certificate, error) {
	var files []certificate
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, suffix) {
			return err
		}
		content, err := os.ReadFile(path)
		files = append(files, certificate{path, content})
		return err
	})
	return files, err
}
