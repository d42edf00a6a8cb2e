package doctor

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/spec/secret"
)

// mostOfALog is how much of the end of a log is packed.
const mostOfALog = 4 << 20

// Packing is what goes into the archive of "orlop diagnose", and what is done
// about secrets in it.
type Packing struct {
	Root, State string
	Environ     []string
	Now         time.Time
	Mask        *secret.Mask // of what is known to be secret
}

// secretive are parts of the names of variables whose values are hidden wherever
// they turn up.
var secretive = []string{"PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "AUTH"}

// mask hides secrets, and the values of the caller's variables that look like some.
func (p *Packing) mask() *secret.Mask {
	var values [][]byte
	for _, kv := range p.Environ {
		name, value, _ := strings.Cut(kv, "=")
		if len(value) >= 6 && slices.ContainsFunc(secretive, func(part string) bool { return strings.Contains(strings.ToUpper(name), part) }) {
			values = append(values, []byte(value))
		}
	}
	return p.Mask.With(values...)
}

// Pack writes an archive (tar, gzip) of logs and state. No environment, secret,
// config or log of a container goes into it, and no value of a variable.
func (d *Doctor) Pack(ctx context.Context, w io.Writer, p Packing) error {
	zip := gzip.NewWriter(w)
	out := &archive{tar: tar.NewWriter(zip), now: p.Now, mask: p.mask()}
	out.add("status.json", d.told(ctx, "engine", "status", "--format", "json")) // before one is started to be asked
	defer d.leaveAsItWas(ctx)()
	var checks []api.Check
	err := d.examine(ctx, false, func(c api.Check) { checks = append(checks, c) })
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(checks, "", "  ")
	if err != nil {
		return err
	}
	out.add("doctor.json", text)
	for name, args := range map[string][]string{
		"version.txt": {"version"}, "stacks.json": {"ls", "-a", "--format", "json"},
		"images.txt": {"image", "ls"}, "volumes.txt": {"volume", "ls"}, "networks.txt": {"network", "ls"},
	} {
		out.add(name, d.told(ctx, args...))
	}
	projects, err := d.Run(ctx, "", "ls", "-a", "-q")
	if err != nil {
		out.add("stacks.txt", []byte(err.Error()))
	}
	for _, project := range strings.Fields(projects) {
		out.add("containers/"+project+".txt", d.told(ctx, "-p", project, "ps", "-a"))
	}
	out.logs(filepath.Join(p.Root, "log"))
	out.add("settings-names.txt", settingsNames(filepath.Join(p.Root, "engine.yaml")))
	out.add("files.txt", []byte(listing(p.Root, 2)+listing(p.State, 3)))
	out.add("mounts.txt", ours("/proc/self/mountinfo", p.Root, p.State))
	for _, file := range []string{"/proc/version", "/proc/meminfo", "/proc/cgroups", "/proc/pressure/memory", "/proc/pressure/io", "/etc/os-release", "/proc/net/route"} {
		if text, err := os.ReadFile(file); err == nil {
			out.add("machine/"+strings.ReplaceAll(strings.Trim(file, "/"), "/", "-")+".txt", text)
		}
	}
	out.add("environment-names.txt", environmentNames(p.Environ))
	return errors.Join(out.err, out.tar.Close(), zip.Close())
}

// told is what the command says, or why it says nothing.
func (d *Doctor) told(ctx context.Context, args ...string) []byte {
	text, err := d.Run(ctx, "", args...)
	if err != nil {
		return []byte(err.Error() + "\n")
	}
	return []byte(text)
}

// archive gathers files; its error is the first.
type archive struct {
	tar  *tar.Writer
	now  time.Time
	mask *secret.Mask
	err  error
}

func (a *archive) add(name string, text []byte) {
	if a.err != nil {
		return
	}
	text = a.mask.Bytes(text)
	h := &tar.Header{Name: "orlop-diagnose/" + name, Mode: 0o600, Size: int64(len(text)), ModTime: a.now, Typeflag: tar.TypeReg}
	if a.err = a.tar.WriteHeader(h); a.err == nil {
		_, a.err = a.tar.Write(text)
	}
}

// logs adds the ends of the engine's and the keeper's own logs.
func (a *archive) logs(dir string) {
	names, _ := filepath.Glob(filepath.Join(dir, "*.log*"))
	for _, name := range names {
		text, err := tail(name, mostOfALog)
		if err != nil {
			text = []byte(err.Error())
		}
		a.add("log/"+filepath.Base(name), text)
	}
}

func tail(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from := max(0, st.Size()-most)
	text, err := io.ReadAll(io.NewSectionReader(f, from, most))
	if from > 0 { // the first line is cut
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return text, err
}

// listing names the files below a directory, to a depth, with their sizes.
func listing(root string, depth int) string {
	var b strings.Builder
	_ = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			fmt.Fprintf(&b, "%s: %v\n", path, err)
			return nil
		}
		size, mode := int64(0), e.Type()
		if st, err := e.Info(); err == nil {
			size, mode = st.Size(), st.Mode()
		}
		fmt.Fprintf(&b, "%s %12d %s\n", mode, size, path)
		rel, _ := filepath.Rel(root, path)
		if e.IsDir() && rel != "." && strings.Count(rel, "/")+1 >= depth {
			return filepath.SkipDir
		}
		return nil
	})
	return b.String()
}

// ours are the lines of a file that name one of the directories.
func ours(path string, dirs ...string) []byte {
	text, _ := os.ReadFile(path)
	var b bytes.Buffer
	for line := range bytes.Lines(text) {
		for _, d := range dirs {
			if bytes.Contains(line, []byte(d)) {
				b.Write(line)
				break
			}
		}
	}
	return b.Bytes()
}

// settingsNames are the keys of the engine's settings: their values may be
// passwords of registries or proxies.
func settingsNames(path string) []byte {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return []byte("there is none\n")
	}
	if err != nil {
		return []byte(err.Error() + "\n")
	}
	var b bytes.Buffer
	for line := range strings.Lines(string(text)) {
		key, _, is := strings.Cut(line, ":")
		if trimmed := strings.TrimSpace(key); is && trimmed != "" && !strings.HasPrefix(trimmed, "#") && !strings.ContainsAny(trimmed, `"'{}[]@/`) {
			b.WriteString(key + ":\n")
		}
	}
	return b.Bytes()
}

// environmentNames are the names of the variables that the command has, without
// values; those that steer Orlop alone are whole.
func environmentNames(environ []string) []byte {
	var b bytes.Buffer
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		if name == "ORLOP_ROOT" || name == "ORLOP_STATE" {
			name = kv
		}
		b.WriteString(name + "\n")
	}
	return b.Bytes()
}
