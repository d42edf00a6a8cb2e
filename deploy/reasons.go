package deploy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orlop/orlop/deploy/manifest"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/planner/difference"
	"github.com/orlop/orlop/spec"
)

// notOfPods are the keys of a service that make nothing of its objects.
var notOfPods = []string{"build", "image", "profiles", "pull_policy", "pull_refresh_after", "develop", "attach", "inherited_volumes", "seccomp_profile"}

// changes are the fields in which two documents differ, as far as they are about a service or job, by the path
// "services.web" or "jobs.report".
func changes(path string, was, is *Document, places spec.Places) []planner.Reason {
	old, want := serviceAt(was, path), serviceAt(is, path)
	if old == nil || want == nil {
		return nil
	}
	a, b := difference.Tree(difference.Effective(old)), difference.Tree(difference.Effective(want))
	var out []planner.Reason
	for _, key := range difference.UnionKeys(a, b) {
		if !slices.Contains(notOfPods, key) {
			out = append(out, difference.Key(path+"."+key, key, a[key], b[key], places)...)
		}
	}
	out = append(out, ownChanges(path, was.Own[path], is.Own[path], places)...)
	out = append(out, contents(path, want, was, is, places)...)
	out = append(out, imageChanges(path, was, is, places)...)
	for _, at := range sortedKeys(is.Images) {
		if name, isMounted := strings.CutPrefix(at, manifest.Mounted(path, "")); isMounted && was.Images[at] != "" && was.Images[at] != is.Images[at] {
			out = append(out, planner.Reason{Path: path + ".volumes", Text: strings.TrimSuffix(name, "]") + ", which it mounts: " + digestOf(was.Images[at]) + " -> " + digestOf(is.Images[at]), Place: places.Nearest(path + ".volumes")})
		}
	}
	return out
}

func serviceAt(d *Document, path string) *spec.Service {
	if name, ok := strings.CutPrefix(path, "jobs."); ok {
		return d.Project.Jobs[name]
	}
	return d.Project.Services[strings.TrimPrefix(path, "services.")]
}

// contents tells which files that the service at a path has are others.
func contents(path string, s *spec.Service, was, is *Document, places spec.Places) []planner.Reason {
	used := map[string]spec.Place{} // where the file says so
	for _, m := range manifest.Mounts(is.Project, s) {
		if m.Type == spec.MountBind {
			used[m.Source] = places.Nearest(path + ".volumes")
		}
	}
	for i, m := range s.Volumes {
		if m.Type == spec.MountBind {
			used[m.Source] = places.Nearest(fmt.Sprintf("%s.volumes[%d]", path, i))
		}
	}
	for _, container := range append([]*spec.Service{s}, s.PreStart...) {
		for _, f := range container.Configs {
			used["configs."+f.Source] = places.All()["configs."+f.Source]
		}
		for _, f := range container.Secrets {
			used["secrets."+f.Source] = places.All()["secrets."+f.Source]
		}
	}
	var out []planner.Reason
	for _, key := range slices.Sorted(maps.Keys(used)) {
		old, had := was.Files[key]
		now, has := is.Files[key]
		if had && has && string(old.Content) != string(now.Content) {
			name := key
			if dir := is.Project.WorkingDir; dir != "" && strings.HasPrefix(key, dir+"/") {
				name = "." + key[len(dir):]
			}
			out = append(out, planner.Reason{Path: key, Text: name + ": its content changed", Place: used[key]})
		}
	}
	return out
}

// imageChanges tells why a service has another image.
func imageChanges(path string, was, is *Document, places spec.Places) []planner.Reason {
	old, want := serviceAt(was, path), serviceAt(is, path)
	name := strings.TrimPrefix(path, "services.")
	before, now := was.Inputs[name], is.Inputs[name]
	switch {
	case want.Build != nil && now != nil && before != nil && before.Sum == now.Sum && was.Images[path] == is.Images[path]:
		return nil
	case want.Build != nil && now != nil && before != nil && before.Sum != now.Sum:
		return inputChanges(path+".build", before, now, places)
	case old.Image != want.Image:
		return difference.Trees(path+".image", difference.Named(old.Image), difference.Named(want.Image), places)
	case (old.Build == nil) != (want.Build == nil):
		return []planner.Reason{{Path: path + ".build", Text: path + ".build: its image is made otherwise", Place: places.Nearest(path + ".build")}}
	case was.Images[path] != is.Images[path] && is.Images[path] != "":
		return []planner.Reason{{Path: path + ".image", Text: "image: " + digestOf(was.Images[path]) + " -> " + digestOf(is.Images[path]), Place: places.Nearest(path)}}
	}
	return nil
}

// inputChanges tells in what the inputs of two builds differ.
func inputChanges(path string, old, want *planner.Inputs, places spec.Places) []planner.Reason {
	var out []planner.Reason
	for _, key := range slices.Sorted(maps.Keys(difference.Merged(old.Other, want.Other))) {
		if old.Other[key] != want.Other[key] {
			out = append(out, planner.Reason{Path: path + "." + key, Text: "image: its build changed: " + key, Place: places.Nearest(path + "." + key)})
		}
	}
	if files := difference.Files(old.Files, want.Files); len(files) > 0 {
		out = append(out, planner.Reason{Path: path + ".context", Text: "image: its build context changed (" + difference.Listed(files) + ")"})
	}
	if len(out) == 0 {
		out = append(out, planner.Reason{Path: path + ".context", Text: "image: its build context changed"})
	}
	return out
}

// digestOf is what follows the @ of a reference, or all of it.
func digestOf(ref string) string {
	if _, digest, ok := strings.Cut(ref, "@"); ok {
		return digest
	}
	if ref == "" {
		return "unset"
	}
	return ref
}

// ownChanges are those of x-orlop.
func ownChanges(path string, was, is any, places spec.Places) []planner.Reason {
	return difference.Trees(path+".x-orlop", difference.OrUnset(was), difference.OrUnset(is), places)
}

// Differences are the fields in which two documents differ, those of services and jobs first; none where there was none before.
func Differences(was, is *Document) []planner.Reason {
	if was == nil {
		return nil
	}
	var out []planner.Reason
	for _, kind := range []struct {
		path     string
		old, now map[string]*spec.Service
	}{{"services.", was.Project.Services, is.Project.Services}, {"jobs.", was.Project.Jobs, is.Project.Jobs}} {
		names := maps.Clone(kind.old)
		if names == nil {
			names = map[string]*spec.Service{}
		}
		maps.Copy(names, kind.now)
		for _, name := range sortedKeys(names) {
			switch at := kind.path + name; {
			case kind.old[name] == nil:
				out = append(out, planner.Reason{Path: at, Text: at + ": new"})
			case kind.now[name] == nil:
				out = append(out, planner.Reason{Path: at, Text: at + ": gone"})
			default:
				out = append(out, changes(at, was, is, spec.Places{})...)
			}
		}
	}
	if was.Publish != is.Publish {
		out = append(out, planner.Reason{Text: published(was, is)})
	}
	return out
}
