package values

import (
	"testing"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/schema"
	"github.com/orlop/orlop/spec/tree"
)

// TestEverydayKeysAreTheConcernOfEverydayChecks: whatever everyday keys say, the checks that
// are left out where there are no others have nothing to tell of it.
func TestEverydayKeysAreTheConcernOfEverydayChecks(t *testing.T) {
	scalar := func(text string) *tree.Node { return &tree.Node{Kind: tree.ScalarNode, Tag: "!!str", Text: text} }
	mapping := func(key string, n *tree.Node) *tree.Node {
		return &tree.Node{Kind: tree.MapNode, Fields: []tree.Field{{Key: key, Value: n}}}
	}
	values := []*tree.Node{{}, {Kind: tree.MapNode}, {Kind: tree.ListNode}, {Kind: tree.BadNode}}
	for _, text := range []string{"", "x", "-1", "none", "host", "a\x00b", "/../x", "NAME=VALUE"} {
		values = append(values, scalar(text), &tree.Node{Kind: tree.ListNode, Items: []*tree.Node{scalar(text)}})
		for _, key := range []string{"source", "target", "type", "driver", "condition", "x"} {
			values = append(values, mapping(key, scalar(text)), &tree.Node{Kind: tree.ListNode, Items: []*tree.Node{mapping(key, scalar(text))}}, mapping("web", mapping(key, scalar(text))))
		}
	}
	told := 0
	c := checker{tree.Reporter{Report: func(d spec.Diagnostic) { told++; t.Errorf("%s: %s", d.Path, d.Message) }}}
	everyday := 0
	for _, k := range schema.Find(schema.Root(), "services").Keys {
		if !isEveryday(k.Name) {
			continue
		}
		everyday++
		for _, n := range values {
			c.others(mapping(k.Name, n), k.Name)
		}
	}
	if everyday != 11 {
		t.Errorf("%d keys are everyday ones", everyday)
	}
	all := &tree.Node{Kind: tree.MapNode}
	for _, k := range schema.Find(schema.Root(), "services").Keys {
		if isEveryday(k.Name) {
			all.Set(tree.Field{Key: k.Name, Value: values[len(values)-1]})
		}
	}
	if c.others(all, "all"); told > 0 {
		t.Errorf("%d complaints", told)
	}
}
