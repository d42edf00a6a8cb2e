package remote

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// repository fetches from a git repository by the user's git, with its login.
type repository struct {
	ref       reference
	environ   []string
	temporary string // directory for what is fetched on the way
	most      int64  // bytes of the files, and of what is fetched
}

// head is what stands for the default branch.
const head = "HEAD"

// resolve asks the repository which commit a name stands for. As in git, a tag comes
// before a branch of the same name.
func (r *repository) resolve(ctx context.Context) (string, error) {
	names := []string{r.ref.ref, "refs/tags/" + r.ref.ref + "^{}", "refs/tags/" + r.ref.ref, "refs/heads/" + r.ref.ref}
	switch {
	case r.ref.ref == "" || r.ref.ref == head:
		names = []string{head}
	case strings.HasPrefix(r.ref.ref, "refs/"):
		names = []string{r.ref.ref + "^{}", r.ref.ref}
	}
	out, err := r.git(ctx, nil, append([]string{"ls-remote", "--", r.ref.url}, names...)...)
	if err != nil {
		return "", err
	}
	found := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if commit, name, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && commitForm().MatchString(commit) {
			found[name] = commit
		}
	}
	for _, name := range names {
		if commit := found[name]; commit != "" {
			return commit, nil
		}
	}
	if r.ref.ref == "" {
		return "", errors.New("the repository is empty")
	}
	return "", fmt.Errorf("there is no branch or tag %s: check its name; of a commit, write all 40 digits", r.ref.ref)
}

// fetch writes the files of a commit.
func (r *repository) fetch(ctx context.Context, commit string, to *tree) error {
	dir, err := os.MkdirTemp(r.temporary, temporaryPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	format := "sha1"
	if len(commit) == 64 {
		format = "sha256"
	}
	if _, err := r.git(ctx, nil, "init", "--quiet", "--bare", "--template=", "--object-format="+format, dir); err != nil {
		return err
	}
	if err := r.download(ctx, dir, commit); err != nil {
		return err
	}
	entries, err := r.list(ctx, dir, commit)
	if err != nil {
		return err
	}
	return r.write(ctx, dir, entries, to)
}

// download has git fetch a commit alone. Repositories that don't give what no name
// stands for are asked for all that has a name.
func (r *repository) download(ctx context.Context, dir, commit string) error {
	fetch := []string{"--git-dir=" + dir, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-gc"}
	_, err := r.git(ctx, nil, append(fetch, "--depth=1", "--", r.ref.url, commit)...)
	if isRefused(err) {
		_, err = r.git(ctx, nil, append(fetch, "--", r.ref.url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")...)
	}
	switch {
	case err == nil:
	case isTooLarge(dir, r.most):
		return tooLarge(r.most)
	default:
		return err
	}
	kind, err := r.git(ctx, isolated(), "--git-dir="+dir, "cat-file", "-t", commit)
	switch what := strings.TrimSpace(string(kind)); {
	case err != nil:
		return fmt.Errorf(`commit %s is not in the repository any more: see what is there now with "orlop config --update-remotes"`, commit)
	case what != "commit":
		return fmt.Errorf("%s is a %s, not a commit", commit, what)
	}
	return nil
}

// isRefused says that a repository has no such commit, or gives it to nobody who names
// it.
func isRefused(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "not our ref") || strings.Contains(err.Error(), "unadvertised object"))
}

// isTooLarge says that git was stopped by the limit of a file's size.
func isTooLarge(dir string, most int64) bool {
	packs, err := filepath.Glob(filepath.Join(dir, "objects", "pack", "tmp_pack_*"))
	return err == nil && slices.ContainsFunc(packs, func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && info.Size() >= most
	})
}

// entry is a file of a commit.
type entry struct {
	mode, object, name string
	size               int64
}

// Modes of entries.
const (
	executableMode = "100755"
	linkMode       = "120000"
)

// list are the files of a commit. Repositories in it are left out.
func (r *repository) list(ctx context.Context, dir, commit string) ([]entry, error) {
	out, err := r.git(ctx, isolated(), "--git-dir="+dir, "ls-tree", "-r", "-l", "-z", "--full-tree", commit)
	if err != nil {
		return nil, err
	}
	var all []entry
	for line := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		about, name, _ := strings.Cut(line, "\t")
		words := strings.Fields(about)
		if len(words) != 4 || words[1] != "blob" || isOfGit(name) {
			continue
		}
		size, err := strconv.ParseInt(words[3], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("git gives %q for a size", words[3])
		}
		all = append(all, entry{words[0], words[2], name, size})
	}
	return all, nil
}

// isOfGit says that a path is one that git keeps its own files in.
func isOfGit(name string) bool {
	return slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool { return strings.EqualFold(part, ".git") })
}

// write writes files as the repository has them: no filter that its attributes name is run.
func (r *repository) write(ctx context.Context, dir string, entries []entry, to *tree) error {
	var objects strings.Builder
	for _, e := range entries {
		if err := to.grow(e.size); err != nil {
			return err
		}
		objects.WriteString(e.object + "\n")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := r.command(ctx, isolated(), "--git-dir="+dir, "cat-file", "--batch")
	c.Stdin = strings.NewReader(objects.String())
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return missing(err)
	}
	from := bufio.NewReader(out)
	for _, e := range entries {
		if err = writeEntry(from, e, to); err != nil {
			cancel()
			break
		}
	}
	if waited := c.Wait(); err == nil {
		err = waited
	}
	return err
}

// writeEntry writes what git gives of a file: a line about it, its content, a line break.
func writeEntry(from *bufio.Reader, e entry, to *tree) error {
	about, err := from.ReadString('\n')
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("%s blob %d\n", e.object, e.size); about != want {
		return fmt.Errorf("git gives %q for %s", strings.TrimSpace(about), e.name)
	}
	name := path.Clean(e.name)
	if e.mode == linkMode {
		target, err := io.ReadAll(io.LimitReader(from, min(e.size, unix.PathMax)))
		if err == nil && e.size <= unix.PathMax {
			err = to.link(name, string(target))
		}
		if err != nil {
			return err
		}
	} else if err := to.file(name, from, e.size, e.mode == executableMode); err != nil {
		return err
	}
	_, err = from.Discard(1)
	return err
}

// isolated are settings by which git reads no settings of the user's, and asks nobody.
func isolated() []string {
	return []string{"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_ALLOW_PROTOCOL="}
}

// Bounds of what git writes to us.
const (
	maxListed = 16 << 20
	maxSaid   = 16 << 10
)

// git runs git and gives what it prints.
func (r *repository) git(ctx context.Context, environ []string, words ...string) ([]byte, error) {
	c := r.command(ctx, environ, words...)
	out, said := &bounded{most: maxListed}, &bounded{most: maxSaid}
	c.Stdout, c.Stderr = out, said
	err := c.Run()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case out.full:
		return nil, fmt.Errorf("it has more names than fit into %d MB", maxListed>>20)
	case err != nil && said.Len() > 0:
		return nil, said.plain()
	case err != nil:
		return nil, missing(err)
	}
	return out.Bytes(), nil
}

func missing(err error) error {
	if errors.Is(err, exec.ErrNotFound) {
		return errors.New("git is not installed: install it, or name a directory that has a clone")
	}
	return fmt.Errorf("git: %w", err)
}

// command is git with its words. It asks nobody for a login, fetches by no protocol that
// reads files of this machine or runs programs, and runs no hook.
func (r *repository) command(ctx context.Context, environ []string, words ...string) *exec.Cmd {
	settings := []string{"-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.version=2", "-c", "fetch.unpackLimit=1", "-c", "transfer.unpackLimit=1",
		"-c", "submodule.recurse=false", "-c", "maintenance.auto=false", "-c", "gc.auto=0", "-c", "transfer.bundleURI=false"}
	limited := fmt.Sprintf(`ulimit -f %d && exec git "$@"`, r.most/512) // of each file that it writes
	c := exec.CommandContext(ctx, "sh", slices.Concat([]string{"-c", limited, "git"}, settings, words)...)
	if _, err := exec.LookPath("git"); err != nil {
		c.Err = err
	}
	c.Env = slices.DeleteFunc(slices.Clone(r.environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(ofOtherRepositories, name)
	})
	c.Env = append(c.Env, "LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL=https:http:ssh:git", "GIT_NO_LAZY_FETCH=1", "SSH_ASKPASS_REQUIRE=never")
	c.Env = append(c.Env, environ...)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // ssh would ask at the terminal
	c.Cancel = func() error { return unix.Kill(-c.Process.Pid, unix.SIGKILL) }
	c.WaitDelay = time.Second
	return c
}

// ofOtherRepositories are variables by which git takes another repository for the one
// that it is told, as in a hook.
var ofOtherRepositories = []string{
	"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_NAMESPACE",
	"GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE", "GIT_REPLACE_REF_BASE", "GIT_TRACE", "GIT_TRACE_CURL", "GIT_TRACE_PACKET",
}

// bounded keeps the beginning of what is written to it.
type bounded struct {
	bytes.Buffer
	most int
	full bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if left := b.most - b.Len(); len(p) > left {
		b.full = true
		b.Buffer.Write(p[:max(left, 0)])
		return len(p), nil
	}
	return b.Buffer.Write(p)
}

// ofSSH are lines that follow what ssh says, whatever that is.
var ofSSH = []string{"Could not read from remote repository.", "Please make sure you have the correct access rights", "and the repository exists."}

// loginOf is the login of an address in a text.
var loginOf = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`://[^/@\s]*@`) })

// plain is what git has said, on one line, without its names for kinds of messages.
func (b *bounded) plain() error {
	var lines []string
	for line := range strings.Lines(b.String()) {
		line = strings.TrimSpace(line)
		for _, kind := range []string{"fatal: ", "error: ", "remote: "} {
			line = strings.TrimPrefix(line, kind)
		}
		if line != "" && !slices.Contains(ofSSH, line) && !strings.HasPrefix(line, "warning: ") && !slices.Contains(lines, line) {
			lines = append(lines, loginOf().ReplaceAllString(line, "://"))
		}
	}
	text := strings.Join(lines, "; ")
	switch {
	case strings.Contains(text, "could not read Username"), strings.Contains(text, "Authentication failed"), strings.Contains(text, "terminal prompts disabled"):
		text += `: give git a login ("git ls-remote" of it must work), or check the address`
	case strings.Contains(text, "Host key verification failed"):
		text += ": connect to the host with ssh once"
	case strings.Contains(text, "Permission denied (publickey"):
		text += ": add your key to the ssh agent"
	case strings.Contains(text, "not allowed"):
		text += ": only https, http, ssh and git are"
	}
	return errors.New(text)
}
