package loop

import (
	"os"
	"path/filepath"

	"github.com/orlop/orlop/spec"
)

// mostLinks is how many symbolic links are followed in a path, as the kernel
// has it.
const mostLinks = 40

// links are the symbolic links inside a directory that a path leads through,
// and the path itself where nothing is: it may come as a link.
func links(dir, file string) []string {
	dir = resolve(dir)
	var list []string
	for range mostLinks {
		at := ""
		for up := filepath.Clean(file); up != filepath.Dir(up) && at == ""; up = filepath.Dir(up) {
			place := filepath.Join(resolve(filepath.Dir(up)), filepath.Base(up))
			if _, inside := within(dir, place); !inside {
				continue
			}
			if to, err := os.Readlink(place); err == nil {
				if !filepath.IsAbs(to) {
					to = filepath.Join(filepath.Dir(place), to)
				}
				rest, _ := filepath.Rel(up, filepath.Clean(file))
				at, file = place, filepath.Join(to, rest)
			}
		}
		if at == "" {
			break
		}
		list = append(list, at)
	}
	if _, err := os.Lstat(file); err != nil {
		list = append(list, resolve(file))
	}
	return list
}

// linkRules watch where the paths of rules lead: a link that is led elsewhere
// makes other files theirs.
func linkRules(dir string, rules []*Rule) (list []*Rule) {
	for _, r := range rules {
		for _, at := range links(dir, r.Path) {
			list = append(list, &Rule{WatchRule: spec.WatchRule{Path: at}, root: at, alone: true, defines: r.Service != ""})
		}
	}
	return list
}

// moved are the rules among new ones whose path leads elsewhere than it did,
// and where the files would be now that they held: what is not there goes.
func (w *watcher) moved(rules []*Rule) (those []*Rule, files []string) {
	for _, now := range rules {
		for _, old := range w.tree.scope.rules {
			same := old.Service == now.Service && old.Path == now.Path && old.Target == now.Target && old.root != now.root
			if !same || now.Service == "" {
				continue
			}
			those = append(those, now)
			for _, file := range w.under(old) {
				rel, _ := within(old.root, file)
				files = append(files, filepath.Join(now.root, rel))
			}
		}
	}
	return those, files
}

// missing are warnings about rules whose path does not exist.
func missing(p *spec.Project, rules []*Rule) (list []spec.Diagnostic) {
	for _, r := range rules {
		if r.at == "" {
			continue
		}
		if _, err := os.Stat(r.Path); !os.IsNotExist(err) {
			continue
		}
		shown := r.Path
		if rel, ok := within(p.WorkingDir, shown); ok {
			shown = rel
		}
		list = append(list, spec.Diagnostic{
			Severity: spec.Warning, Path: r.at + ".path", Place: p.Places.Nearest(r.at + ".path"),
			Message: shown + " does not exist", Hint: "it is watched once it exists",
		})
	}
	return list
}
