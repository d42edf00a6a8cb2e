package deploy

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/deploy/manifest"
)

// maxRevisions is how many revisions are kept beside those that objects were applied by.
const maxRevisions = 10

// claim makes or widens the parent of the ApplySet: whatever is applied from here on can be found again.
func (e *Executor) claim(ctx context.Context) error {
	names := map[string]bool{}
	for _, k := range kindsOf(e.setOf(), e.Plan.Observed.Parent) {
		names[k.GroupKind()] = true
	}
	for _, live := range e.Plan.Observed.Objects {
		names[groupKind(live)] = true
	}
	var list []string
	for name := range names {
		list = append(list, name)
	}
	slices.Sort(list)
	if parent := e.Plan.Observed.Parent; parent != nil && parent.GetAnnotations()[noteContains] == strings.Join(list, ",") {
		return nil
	}
	name := parentName(e.Plan.Project)
	if e.Plan.Observed.Parent == nil {
		live, err := e.Client.Get(ctx, manifest.Secret, name)
		if err != nil {
			return err
		}
		if live != nil && live.GetLabels()[manifest.LabelProject] != manifest.LabelValue(e.Plan.Project) {
			return fmt.Errorf("the secret %s of namespace %s is of the project %q, whose name is the same there: rename one of them, or use another namespace",
				name, e.Client.Namespace, live.GetLabels()[manifest.LabelProject])
		}
	}
	body := parentBody(e.Plan.Project, e.Client.Namespace, list)
	live, err := e.Client.Apply(ctx, manifest.Secret, name, body, cluster.Applying{Force: true})
	if err != nil {
		return err
	}
	e.Plan.Observed.Parent = live
	return nil
}

// parentBody is the parent of an ApplySet that has objects of some kinds.
func parentBody(project, namespace string, kinds []string) map[string]any {
	return map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "orlop.dev/project",
		"metadata": map[string]any{
			"name": parentName(project),
			"labels": map[string]any{
				labelID: setID(project, namespace), manifest.LabelProject: manifest.LabelValue(project), manifest.LabelManager: Tool,
			},
			"annotations": map[string]any{noteTooling: Tool + "/v1", noteContains: strings.Join(kinds, ",")},
		},
	}
}

func (e *Executor) setOf() *manifest.Set {
	set, _ := e.Plan.Document.Set(nil)
	return set
}

// revisionName is the name of a Secret, which may have dots: no other name of ours has.
func revisionName(project string, number int) string {
	return fmt.Sprintf("orlop.%s.v%d", manifest.DNSName(project), number)
}

// writeRevision writes the revision of the plan in a state.
func (e *Executor) writeRevision(ctx context.Context, state string) error {
	name := revisionName(e.Plan.Project, e.Plan.Number)
	data, err := e.withBuilt().Encode()
	if err != nil {
		return err
	}
	if len(data) > manifest.MaxContent {
		return fmt.Errorf("the revision has %d KB, and a Secret may have 1 MB: make the files smaller that services mount, of which %s is the largest", len(data)>>10, e.Plan.Document.largest())
	}
	notes := map[string]any{noteState: state, noteBy: e.Plan.options.By}
	if state != StateDeploying {
		notes[noteEnded] = e.Now().UTC().Format(time.RFC3339)
	}
	if e.Plan.options.Note != "" {
		notes[noteText] = e.Plan.options.Note
	}
	body := map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "orlop.dev/revision",
		"metadata": map[string]any{
			"name": name,
			"labels": map[string]any{
				manifest.LabelProject: manifest.LabelValue(e.Plan.Project), labelRevision: fmt.Sprint(e.Plan.Number), manifest.LabelManager: Tool,
			},
			"annotations": notes,
		},
		"data": map[string]any{"document": base64.StdEncoding.EncodeToString(data)},
	}
	if state == StateDeploying {
		_, err = e.Client.Create(ctx, manifest.Secret, name, body)
		if cluster.IsTaken(err) {
			// By ourselves, if the answer was lost and we asked again.
			if live, late := e.Client.Get(ctx, manifest.Secret, name); late == nil && live != nil && live.GetAnnotations()[noteBy] == e.Plan.options.By {
				return nil
			}
			return fmt.Errorf("revision %d of %s was made by somebody else meanwhile: try again", e.Plan.Number, e.Plan.Project)
		}
		return err
	}
	delete(body["metadata"].(map[string]any), "labels")
	return e.Client.Merge(ctx, manifest.Secret, name, map[string]any{"metadata": body["metadata"], "data": body["data"]})
}

// forget removes the oldest revisions, but those that some object was applied by.
func (e *Executor) forget(ctx context.Context) error {
	used := map[int]bool{}
	for _, live := range e.Plan.Observed.Objects {
		if r := e.Plan.Observed.of(live); r != nil {
			used[r.Number] = true
		}
	}
	old := e.Plan.Observed.Revisions
	var errs []error
	for _, r := range old[:max(len(old)+1-maxRevisions, 0)] {
		if !used[r.Number] {
			errs = append(errs, e.Client.Remove(ctx, manifest.Secret, r.object.GetName(), string(r.object.GetUID())))
		}
	}
	return errors.Join(errs...)
}
