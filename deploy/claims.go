package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/deploy/fields"
	"github.com/orlop/orlop/deploy/manifest"
	"github.com/orlop/orlop/planner"
)

// Claim is a claim of a project, with the data of a volume.
type Claim struct {
	Name   string   `json:"name"`
	Volume string   `json:"volume"` // of the stack file; "" if none of those that are kept has it
	Size   string   `json:"size"`   // "10Gi"
	Class  string   `json:"class"`
	State  string   `json:"state"` // "Bound", "Pending"
	Users  []string `json:"users"` // pods that have it
	live   *cluster.Live
}

// Claims are the claims of a project, by name.
func Claims(ctx context.Context, c *cluster.Client, o *Observed) ([]*Claim, error) {
	var out []*Claim
	for _, id := range sortedKeys(o.Objects) {
		live := o.Objects[id]
		if live.GetKind() != manifest.VolumeClaim.Kind {
			continue
		}
		claim := &Claim{Name: live.GetName(), Volume: o.volumeOf(live.GetName()), live: live}
		claim.Size, _ = fields.At(live.Object, []string{"spec", "resources", "requests", "storage"}).(string)
		claim.Class, _ = fields.At(live.Object, []string{"spec", "storageClassName"}).(string)
		claim.State, _ = fields.At(live.Object, []string{"status", "phase"}).(string)
		if live.GetDeletionTimestamp() != nil {
			claim.State = "Terminating"
		}
		out = append(out, claim)
	}
	if len(out) == 0 {
		return nil, nil
	}
	pods, err := c.List(ctx, cluster.Pod, "")
	if err != nil {
		return nil, err
	}
	for _, claim := range out {
		claim.Users = usersOf(pods, claim.Name)
	}
	return out, nil
}

// volumeOf is the volume that a claim is of, by the newest revision that has it.
func (o *Observed) volumeOf(claim string) string {
	for _, revision := range slices.Backward(o.Revisions) {
		set, _ := revision.Document.Set(nil)
		for _, r := range set.Resources {
			if r.Kind == manifest.OfVolume && r.Objects[0].Name == claim {
				return r.Key
			}
		}
	}
	return ""
}

// RemoveClaims makes the plan that removes claims with their data, and leaves all else as it is. They must be nobody's.
func RemoveClaims(o *Observed, claims []*Claim) (*Plan, error) {
	p := &Plan{Plan: &planner.Plan{Project: o.Project, Of: "resource", Leave: len(o.Objects) - len(claims)}, Observed: o, work: map[string]*work{}, kept: map[string][]string{}}
	for _, claim := range claims {
		if len(claim.Users) > 0 {
			return nil, fmt.Errorf("volume %s is used by pod %s: scale the service to none (orlop deploy --scale SERVICE=0), or deploy a stack file without the volume, and try again",
				claim.Name, strings.Join(claim.Users, ", "))
		}
		s := &planner.Step{Action: planner.RemoveVolume, Resource: claim.Name}
		s.ID = string(s.Action) + " " + s.Resource
		p.work[s.ID] = &work{remove: []*cluster.Live{claim.live}}
		p.Steps = append(p.Steps, s)
	}
	return p, nil
}
