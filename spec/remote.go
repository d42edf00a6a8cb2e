package spec

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// scpForm is a repository over ssh as scp names it: git@host:path.
var scpForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-zA-Z0-9_-]+@[a-zA-Z0-9.-]+:`) })

// IsRemote says whether a build context is fetched and not a directory, in the
// forms that BuildKit takes: an address with its scheme, github.com/OWNER/REPO
// and USER@HOST:PATH, with #REF:SUBDIR behind each (Compose Specification,
// build.context).
func IsRemote(context string) bool {
	return strings.Contains(context, "://") || IsRemoteName(context)
}

// IsRemoteName says whether a context is remote by a form that a directory's
// name could have, too.
func IsRemoteName(context string) bool {
	return strings.HasPrefix(context, "github.com/") || scpForm().MatchString(context)
}

// Remote is a stack of somebody else that include, extends or -f names: a
// repository of git, or an OCI artifact of a registry.
type Remote struct {
	Name   string // the reference as it is shown, without a login and without a path in it
	Digest string // the commit, or the digest of the manifest
	Dir    string // absolute; has its files, which nobody changes
	Path   string // of what the reference names there: a file, or a directory that has a stack file; "" is Dir

	Variables map[string]Place // of the caller's, that its files name and are told, with the first place that does
}

// NameOf is how a file of the remote is shown, by its path; "" of one that isn't of it.
func (r *Remote) NameOf(path string) string {
	if rest, ok := strings.CutPrefix(path, r.Dir+"/"); ok {
		return r.Name + ": " + rest
	}
	return ""
}

// IsIn says that a place is in a file of the remote.
func (place Place) IsIn(r *Remote) bool { return strings.HasPrefix(place.File, r.Name+": ") }

// RemoteAt is the remote that a place is in; nil: it is in a file of the user's own.
func (p *Project) RemoteAt(place Place) *Remote {
	if i := slices.IndexFunc(p.Remotes, place.IsIn); i >= 0 {
		return p.Remotes[i]
	}
	return nil
}

// IsFetched says that a path is in what a remote was fetched to, which never changes.
func (p *Project) IsFetched(path string) bool {
	path = filepath.Clean(path)
	return slices.ContainsFunc(p.Remotes, func(r *Remote) bool { return path == r.Dir || r.NameOf(path) != "" })
}

// RemotesIn are remotes of which the names and directories are known.
func RemotesIn(dirs map[string]string) []*Remote {
	var all []*Remote
	for _, name := range slices.Sorted(maps.Keys(dirs)) {
		all = append(all, &Remote{Name: name, Dir: dirs[name]})
	}
	return all
}
