package deploy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	core "github.com/orlop/orlop/deploy"
	"github.com/orlop/orlop/deploy/manifest"
)

// Directories of what is rendered.
const (
	baseName     = "base"
	overlaysName = "overlays"
)

// written is what a render wrote.
type written struct {
	files   int
	removed []string // of the base, that an earlier render wrote
}

// files writes and removes files, or only says that it can.
type files struct {
	isForetold bool // nothing is changed
}

func (f files) write(path, text string, mode os.FileMode) error {
	if f.isForetold {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("cannot make %s: %w", filepath.Dir(path), err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

func (f files) remove(path string) error {
	if f.isForetold {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove what an earlier render wrote: %w", err)
	}
	return nil
}

// writeKustomize writes a base, one file a resource, and overlays on it. What an earlier one wrote for resources that are
// gone is removed.
func writeKustomize(to files, dir string, set *manifest.Set, overlays []string) (wrote written, err error) {
	base := filepath.Join(dir, baseName)
	before := rendered(base)
	var names []string
	for _, r := range set.Resources {
		var text strings.Builder
		for i, o := range r.Objects {
			if i > 0 {
				text.WriteString("---\n")
			}
			one, err := encode(o.Body)
			if err != nil {
				return wrote, err
			}
			text.WriteString(one)
		}
		name := r.Kind + "-" + manifest.DNSName(r.Key) + ".yaml"
		for n := 2; slices.Contains(names, name); n++ {
			name = fmt.Sprintf("%s-%s-%d.yaml", r.Kind, manifest.DNSName(r.Key), n)
		}
		mode := os.FileMode(0o644)
		if r.Kind == manifest.OfSecret {
			mode = 0o600
		}
		if err := to.write(filepath.Join(base, name), text.String(), mode); err != nil {
			return wrote, err
		}
		names = append(names, name)
		wrote.files++
	}
	if err := to.kustomization(base, map[string]any{"resources": names}); err != nil {
		return wrote, err
	}
	wrote.files++
	for _, name := range before {
		if slices.Contains(names, name) {
			continue
		}
		if err := to.remove(filepath.Join(base, name)); err != nil {
			return wrote, err
		}
		wrote.removed = append(wrote.removed, name)
	}
	for _, name := range overlays {
		over := filepath.Join(dir, overlaysName, name)
		if isKustomized(over) {
			continue // it is the user's by now
		}
		if err := to.kustomization(over, map[string]any{"namespace": name, "resources": []string{"../../base"}}); err != nil {
			return wrote, err
		}
		wrote.files++
	}
	return wrote, nil
}

// rendered are the files of a base that a render wrote: those that its kustomization lists, and that have the mark of Orlop.
func rendered(base string) (files []string) {
	text, err := os.ReadFile(filepath.Join(base, "kustomization.yaml"))
	if err != nil {
		return nil // the first time; else writing it fails as well
	}
	var kustomization struct {
		Resources []string `yaml:"resources"`
	}
	if yaml.Unmarshal(text, &kustomization) != nil {
		return nil
	}
	for _, name := range kustomization.Resources {
		if name != filepath.Base(name) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(base, name))
		if err == nil && isRendered(text) {
			files = append(files, name)
		}
	}
	return files
}

// isRendered says that a manifest is of an object that Orlop made.
func isRendered(text []byte) bool { return labelsOf(text)[manifest.LabelManager] == core.Tool }

// labelsOf are those of the first object of a manifest.
func labelsOf(text []byte) map[string]string {
	var object struct {
		Metadata struct {
			Labels map[string]string `yaml:"labels"`
		} `yaml:"metadata"`
	}
	if yaml.Unmarshal(text, &object) != nil {
		return nil
	}
	return object.Metadata.Labels
}

// checkBase refuses a base that was rendered of another project. called is what the user calls it.
func checkBase(base, called, project string) error {
	for _, name := range rendered(base) {
		text, err := os.ReadFile(filepath.Join(base, name))
		if err != nil {
			return fmt.Errorf("cannot tell which project %s is of: %w", called, err)
		}
		if of := labelsOf(text)[manifest.LabelProject]; of != "" && of != manifest.LabelValue(project) {
			return fmt.Errorf("%s is of the project %s, and this is %s: name another directory with -o, or remove %s if %s takes its place", called, of, project, called, project)
		}
	}
	return nil
}

// overlaysOf are the overlays that a directory has.
func overlaysOf(dir string) (names []string) {
	entries, err := os.ReadDir(filepath.Join(dir, overlaysName))
	if err != nil {
		return nil // there are none
	}
	for _, e := range entries {
		if isKustomized(filepath.Join(dir, overlaysName, e.Name())) {
			names = append(names, e.Name())
		}
	}
	return names
}

// isKustomized says that a directory has a kustomization, by one of the names that kustomize knows.
func isKustomized(dir string) bool {
	return slices.ContainsFunc([]string{"kustomization.yaml", "kustomization.yml", "Kustomization"}, func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	})
}

func (f files) kustomization(dir string, body map[string]any) error {
	body["apiVersion"], body["kind"] = "kustomize.config.k8s.io/v1beta1", "Kustomization"
	text, err := encode(body)
	if err != nil {
		return err
	}
	return f.write(filepath.Join(dir, "kustomization.yaml"), text, 0o644)
}
