package fetched

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// Paths are those of one file.
type Paths struct {
	Report  tree.Reporter
	Remotes *Set
	Base    string // directory that they start from
	Root    string // and that they must stay in; "" of a file that was not fetched
}

// Confine refuses the paths of a file that was fetched which lead out of its directory:
// whoever wrote it must not read files of the user's. An absolute source of a bind mount
// is left: it is a privilege, which the user is asked about.
func (c *Paths) Confine(root *tree.Node) {
	if c.Root == "" || root.Kind != tree.MapNode {
		return
	}
	for _, section := range []string{"services", "jobs"} {
		for _, f := range fieldsIn(root.Value(section)) {
			c.confineService(f.Value, section+"."+f.Key)
		}
	}
	for _, section := range []string{"secrets", "configs"} {
		for _, f := range fieldsIn(root.Value(section)) {
			c.confineAt(f.Value.Value("file"), section+"."+f.Key+".file")
		}
	}
	for _, f := range fieldsIn(root.Value("volumes")) {
		device := f.Value.Value("driver_opts").Value(spec.OptDevice)
		if isScalar(device) && !isAbsolute(device.Raw()) && tree.TextAt(f.Value.Value("driver_opts"), spec.OptMount) == "bind" {
			c.confineAt(device, "volumes."+f.Key+".driver_opts."+spec.OptDevice)
		}
	}
}

// confineService refuses the paths of a service or an init container that lead out.
func (c *Paths) confineService(s *tree.Node, path string) {
	for i, item := range s.Value("env_file").Entries() {
		c.confineAt(item.Value("path"), tree.Indexed(path+".env_file", i))
	}
	for i, item := range s.Value("label_file").Entries() {
		c.confineAt(item, tree.Indexed(path+".label_file", i))
	}
	for i, item := range s.Value("security_opt").Entries() {
		c.confineProfile(item, tree.Indexed(path+".security_opt", i))
	}
	for i, item := range s.Value("volumes").Entries() {
		c.confineMount(item, tree.Indexed(path+".volumes", i))
	}
	for i, item := range s.Value("develop").Value("watch").Entries() {
		c.confineAt(item.Value("path"), tree.Indexed(path+".develop.watch", i)+".path")
	}
	c.confineBuild(s.Value("build"), path+".build")
	for i, first := range s.Value("pre_start").Entries() {
		c.confineService(first, tree.Indexed(path+".pre_start", i))
	}
}

func (c *Paths) confineBuild(b *tree.Node, path string) {
	if b == nil || b.Kind != tree.MapNode {
		return
	}
	context := b.Value("context")
	if !isScalar(context) || !isFetched(context) {
		c.confineAt(context, path+".context")
	}
	if d := b.Value("dockerfile"); isScalar(d) && (!isScalar(context) || !isFetched(context)) {
		dir := c.Base
		if isScalar(context) {
			dir = context.Text
		}
		if !c.May(d, Within(dir, d.Text), path+".dockerfile") {
			*d = *d.Bad()
		}
	}
	for _, f := range fieldsIn(b.Value("additional_contexts")) {
		if isScalar(f.Value) && !isFetched(f.Value) && !strings.HasPrefix(f.Value.Text, "service:") {
			c.confineAt(f.Value, path+".additional_contexts."+f.Key)
		}
	}
}

// isFetched says that a context, which is absolute where it is a directory, is fetched.
func isFetched(context *tree.Node) bool {
	return !filepath.IsAbs(context.Text) && spec.IsRemote(context.Text)
}

// confineProfile has a seccomp profile start from the file that names it.
func (c *Paths) confineProfile(n *tree.Node, path string) {
	if !isScalar(n) {
		return
	}
	name, value := spec.CutSecurityOpt(n.Text)
	if name != spec.OptSeccomp || value == spec.Unconfined || value == spec.SeccompBuiltin {
		return
	}
	at := Within(c.Base, value)
	if !c.May(n, at, path) {
		*n = *n.Bad()
		return
	}
	n.Text = name + "=" + at
}

// confineMount refuses a bind mount whose source is relative and leads out, or is not
// there: nothing is created in what was fetched.
func (c *Paths) confineMount(m *tree.Node, path string) {
	source := m.Value("source")
	if tree.TextAt(m, "type") != spec.MountBind || !isScalar(source) || isAbsolute(source.Raw()) {
		return // of the last the user is asked
	}
	if !c.confineAt(source, path+".source") {
		return
	}
	r := c.Remotes.Of(source.Text)
	if r == nil {
		return
	}
	if _, err := os.Lstat(source.Text); err != nil {
		c.Report.Fail(source, path, fmt.Sprintf("there is no %s in %s", source.Raw(), r.Name),
			"use a volume for data; with include, project_directory: has its paths start from a directory of yours")
	}
}

// confineAt refuses a path that leads out, and says whether it doesn't.
func (c *Paths) confineAt(n *tree.Node, path string) bool {
	if !isScalar(n) || c.May(n, Within(c.Base, n.Text), path) {
		return true
	}
	*n = *n.Bad()
	return false
}

// May says that a file may name a path; of one that was fetched it is to stay in
// its directory, as it is written and where links lead.
func (c *Paths) May(n *tree.Node, at, path string) bool {
	written := cmp.Or(n.Raw(), n.Text)
	switch {
	case c.Root == "":
		return true
	case IsBelow(at, c.Root) && staysIn(at, c.Root):
		return true
	case IsBelow(at, c.Root):
		c.Report.Fail(n, path, fmt.Sprintf("%q leads out of the directory of a remote stack by a symbolic link", spec.Shorten(written)), "it may name its own files only")
	default:
		c.Report.Fail(n, path, fmt.Sprintf("%q leads out of the directory of a remote stack", spec.Shorten(written)), "it may name its own files only")
	}
	return false
}

func isScalar(n *tree.Node) bool { return n != nil && n.Kind == tree.ScalarNode }

// isAbsolute says that a path is one wherever it is written.
func isAbsolute(path string) bool {
	return filepath.IsAbs(path) || path == "~" || strings.HasPrefix(path, "~/")
}

func fieldsIn(n *tree.Node) []tree.Field {
	if n == nil || n.Kind != tree.MapNode {
		return nil
	}
	return n.Fields
}

// Within is a path, which starts from a directory if it is relative.
func Within(base, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(base, path)
}

// IsBelow says that a path is a directory or below it, as it is written.
func IsBelow(path, dir string) bool {
	path = filepath.Clean(path)
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// staysIn says that no link on the way of a path leads out of a directory. One to
// what is not there leads out: nobody knows what will be there.
func staysIn(path, dir string) bool {
	realDir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	for path = filepath.Clean(path); IsBelow(path, dir); path = filepath.Dir(path) {
		if _, err := os.Lstat(path); err != nil {
			continue // not there: what is above it counts
		}
		real, err := filepath.EvalSymlinks(path)
		return err == nil && IsBelow(real, realDir)
	}
	return false
}
