package stackfile

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/forms"
	"github.com/orlop/orlop/spec/tree"
)

// volumeOptions checks the options of a volume's driver: what is mounted as the
// volume is said whole, and a path of the host is one.
func (v *validator) volumeOptions(volume *tree.Node, path string) {
	if n := volume.Value("name"); n != nil && n.Kind == tree.ScalarNode && len(n.Unset()) == 0 && (forms.BadName(n.Text) != "" || strings.ContainsAny(n.Text[:1], "._-")) {
		v.l.Fail(n, path+".name", fmt.Sprintf("%q is not the name of a volume", spec.Shorten(n.Text)), "use letters, digits, dots, dashes and underscores, and start with a letter or digit")
	}
	opts := volume.Value("driver_opts")
	if opts == nil || opts.Kind != tree.MapNode {
		return
	}
	path += ".driver_opts"
	known := []string{spec.OptType, spec.OptDevice, spec.OptMount, spec.OptSize}
	read := spec.Volume{DriverOpts: map[string]string{}}
	for _, f := range opts.Fields {
		at := &tree.Node{At: f.At, Width: f.Width}
		read.DriverOpts[f.Key] = f.Value.Text
		switch {
		case f.Value.Kind == tree.BadNode:
			return
		case !slices.Contains(known, f.Key):
			v.l.Fail(at, path, fmt.Sprintf("the local driver has no option %q", f.Key), spec.DidYouMean(f.Key, known))
		case f.Key == spec.OptSize && f.Value.Text != "":
			v.l.Fail(at, path, "a volume has no size of its own: the file system would have to keep quotas", `write type: tmpfs, device: tmpfs and o: size=100m for one in memory`)
		}
	}
	b := read.Backing()
	whole := &tree.Node{At: volume.Field("driver_opts").At, Width: volume.Field("driver_opts").Width}
	switch {
	case b.IsNone():
	case b.Type == "":
		v.l.Fail(whole, path, "type is missing", "write type: none for a directory of the host, else that of the file system: tmpfs, nfs, ext4")
	case b.Device == "":
		v.l.Fail(whole, path, "device is missing", "write device: and what is mounted")
	case b.IsBind() && !filepath.IsAbs(b.Device):
		v.l.Fail(opts.Value(spec.OptDevice), tree.Join(path, spec.OptDevice), fmt.Sprintf("%q is not an absolute path", spec.Shorten(b.Device)), "a path may be relative beside o: bind")
	}
}
