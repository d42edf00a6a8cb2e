package stackfile

import (
	"github.com/orlop/orlop/spec/schema"
	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/values"
)

// initRow is the row of the table for the containers of pre_start.
func initRow() *schema.Key {
	return &schema.Key{Shape: schema.Object, Keys: schema.Find(serviceRow().Keys, "pre_start").Keys}
}

// initContainers completes each container of pre_start by what the service says of its
// own, by the rules of a merge: what it says itself stands. Volumes are its own, those
// of the service are mounted when it runs (Compose Specification, pre_start).
func (v *validator) initContainers(s *tree.Node, path string) {
	containers := s.Value("pre_start")
	if containers == nil || containers.Kind != tree.ListNode {
		return
	}
	base := s.Mapping()
	for _, f := range s.Fields {
		if f.Key != "volumes" && schema.Find(initRow().Keys, f.Key) != nil {
			base.Fields = append(base.Fields, tree.Field{Key: f.Key, At: f.At, Width: f.Width, Value: f.Value.Clone()})
		}
	}
	for i, n := range containers.Items {
		if n.Kind != tree.MapNode {
			continue
		}
		at := tree.Indexed(path+".pre_start", i)
		v.declaredAll(n, at)
		v.refusedKeys(tree.Field{Key: "pre_start", Value: n}, initRow().Keys, at)
		values.Check(v.l.Reporter, n, at)
		containers.Items[i] = tree.Merge(base, n, initRow())
	}
}

// initEnvironments reads the files that containers of pre_start have variables and
// labels from.
func (v *validator) initEnvironments(s *tree.Node, path string) {
	for i, n := range s.Value("pre_start").Entries() {
		if n.Kind == tree.MapNode {
			at := tree.Indexed(path+".pre_start", i)
			v.l.serviceEnvironment(n, at)
			v.l.serviceLabels(n, at)
		}
	}
}
