package deploy

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/deploy/fields"
	"github.com/orlop/orlop/deploy/manifest"
	"github.com/orlop/orlop/spec"
)

// Labels and annotations of an ApplySet (KEP-3659), by which other tools know what belongs together.
const (
	labelID      = "applyset.kubernetes.io/id"
	labelPartOf  = "applyset.kubernetes.io/part-of"
	noteTooling  = "applyset.kubernetes.io/tooling"
	noteContains = "applyset.kubernetes.io/contains-group-kinds"
)

// Labels and annotations of revisions.
const (
	labelRevision = "orlop.dev/revision"
	noteState     = "orlop.dev/state"
	noteText      = "orlop.dev/note"
	noteBy        = "orlop.dev/by"
	noteEnded     = "orlop.dev/ended"
)

// States of a Revision.
const (
	StateDeploying = "deploying" // or it was, when its command ended
	StateDeployed  = "deployed"
	StateFailed    = "failed"
)

// Revision is one document that was deployed.
type Revision struct {
	Number   int
	State    string
	Note     string // why, if it was no change of the stack file: "rollback to 3"
	By       string
	At       time.Time // when it ended, by the clock of who deployed; of one that has not, when it began
	Document *Document
	object   *cluster.Live
}

// Observed is what the cluster has of a project.
type Observed struct {
	Project   string
	Revisions []*Revision              // oldest first
	Objects   map[string]*cluster.Live // by their IDs, see manifest.Object
	Parent    *cluster.Live            // of the ApplySet; nil: nothing was deployed, or somebody has removed it
	number    int                      // the highest of a revision
}

// parentName is the name of the Secret that stands for the whole project.
func parentName(project string) string { return manifest.DNSName("orlop-" + project) }

// setID is the ID of the ApplySet whose parent that Secret is.
func setID(project, namespace string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{parentName(project), namespace, "Secret", ""}, ".")))
	return "applyset-" + base64.RawURLEncoding.EncodeToString(sum[:]) + "-v1"
}

// Observe looks at what the cluster has of a project: of the kinds that it has now, and those that it had. places are those of its file.
func Observe(ctx context.Context, c *cluster.Client, project string, set *manifest.Set, places spec.Places) (*Observed, error) {
	o := &Observed{Project: project, Objects: map[string]*cluster.Live{}}
	secrets, err := c.List(ctx, manifest.Secret, manifest.LabelProject+"="+manifest.LabelValue(project))
	if err != nil {
		return nil, err
	}
	id := setID(project, c.Namespace)
	for i := range secrets {
		s := &secrets[i]
		switch labels := s.GetLabels(); {
		case labels[labelID] == id:
			o.Parent = s
		case labels[labelRevision] != "":
			o.number = max(o.number, numberOf(s))
			if r, err := readRevision(s); err == nil { // one that is damaged is no more than a number
				o.Revisions = append(o.Revisions, r)
			}
		case labels[labelPartOf] == id:
			o.Objects[manifest.Secret.GroupKind()+"/"+s.GetName()] = s
		}
	}
	slices.SortFunc(o.Revisions, func(a, b *Revision) int { return cmp.Compare(a.Number, b.Number) })
	kinds := kindsOf(set, o.Parent)
	known := kinds
	if o.Parent == nil { // what is of the project has its label all the same: whatever the user may see is looked at
		kinds, known = manifest.Kinds(), o.kindsBefore()
	}
	found := make([][]cluster.Live, len(kinds))
	group, ctx := errgroup.WithContext(ctx)
	for i, kind := range kinds {
		if kind == manifest.Secret {
			continue // those are known
		}
		group.Go(func() (err error) {
			found[i], err = c.List(ctx, kind, labelPartOf+"="+id)
			var missing *cluster.Missing
			if errors.As(err, &missing) && !slices.Contains(known, kind) {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, placed(err, set, places)
	}
	for i, kind := range kinds {
		for j := range found[i] {
			o.Objects[kind.GroupKind()+"/"+found[i][j].GetName()] = &found[i][j]
		}
	}
	return o, nil
}

// kindsOf are the kinds that a set has, and those that the ApplySet's parent names.
func kindsOf(set *manifest.Set, parent *cluster.Live) []manifest.Kind {
	names := map[string]bool{}
	if set != nil {
		for _, r := range set.Resources {
			for _, o := range r.Objects {
				names[o.Kind.GroupKind()] = true
			}
		}
	}
	if parent != nil {
		for _, name := range strings.Split(parent.GetAnnotations()[noteContains], ",") {
			names[name] = true
		}
	}
	return slices.DeleteFunc(manifest.Kinds(), func(k manifest.Kind) bool { return !names[k.GroupKind()] })
}

// kindsBefore are those that the newest revision has.
func (o *Observed) kindsBefore() []manifest.Kind {
	last := o.Last()
	if last == nil {
		return nil
	}
	set, _ := last.Document.Set(nil)
	return kindsOf(set, nil)
}

func readRevision(s *cluster.Live) (*Revision, error) {
	number, err := strconv.Atoi(s.GetLabels()[labelRevision])
	if err != nil {
		return nil, fmt.Errorf("secret %s has no number: %w", s.GetName(), err)
	}
	text, _ := fields.At(s.Object, []string{"data", "document"}).(string)
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("secret %s is damaged: %w", s.GetName(), err)
	}
	d, err := DecodeDocument(data)
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", s.GetName(), err)
	}
	notes, at := s.GetAnnotations(), s.GetCreationTimestamp().Time
	if ended, err := time.Parse(time.RFC3339, notes[noteEnded]); err == nil {
		at = ended
	}
	return &Revision{Number: number, State: notes[noteState], Note: notes[noteText], By: notes[noteBy], At: at, Document: d, object: s}, nil
}

// Revision is the one of a number; nil if it is not kept.
func (o *Observed) Revision(number int) *Revision {
	for _, r := range o.Revisions {
		if r.Number == number {
			return r
		}
	}
	return nil
}

// Last is the newest revision; nil if there is none.
func (o *Observed) Last() *Revision {
	if len(o.Revisions) == 0 {
		return nil
	}
	return o.Revisions[len(o.Revisions)-1]
}

// Deployed is the newest revision before number that was deployed wholly; nil if there is none.
func (o *Observed) Deployed(before int) *Revision {
	for _, r := range slices.Backward(o.Revisions) {
		if r.Number < before && r.State == StateDeployed {
			return r
		}
	}
	return nil
}

// of is the revision that an object was applied by.
func (o *Observed) of(live *cluster.Live) *Revision {
	n, err := strconv.Atoi(live.GetAnnotations()[noteRevision])
	if err != nil {
		return nil
	}
	return o.Revision(n)
}

func modeOf(m uint32) fs.FileMode { return fs.FileMode(m) }

// Next is the number of the next revision.
func (o *Observed) Next() int { return o.number + 1 }

// IsStale says that somebody has deployed, or removed the project, since it was looked at.
func (o *Observed) IsStale(ctx context.Context, c *cluster.Client) (bool, error) {
	secrets, err := c.List(ctx, manifest.Secret, labelRevision+","+manifest.LabelProject+"="+manifest.LabelValue(o.Project))
	if err != nil {
		return false, err
	}
	known := map[string]bool{}
	for _, r := range o.Revisions {
		known[r.object.GetName()+" "+r.object.GetResourceVersion()] = true
	}
	for i := range secrets {
		if !known[secrets[i].GetName()+" "+secrets[i].GetResourceVersion()] {
			return true, nil
		}
	}
	return len(secrets) != len(o.Revisions), nil
}

func numberOf(s *cluster.Live) int {
	n, _ := strconv.Atoi(s.GetLabels()[labelRevision])
	return n
}
