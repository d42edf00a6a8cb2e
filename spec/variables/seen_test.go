package variables

import (
	"slices"
	"testing"
)

// TestEachVariableIsSeen: also those that what is there keeps from being asked for.
func TestEachVariableIsSeen(t *testing.T) {
	var got []Use
	v := Expander{
		Lookup: func(name string) (string, bool) { return "there", name == "A" },
		Seen:   func(use Use) { got = append(got, use) },
	}
	v.Expand("$A ${A:-${B:-b}} ${C:+${D}} ${E:?} $$F")
	want := []Use{
		{Name: "A"}, {Name: "A", Default: "${B:-b}"}, {Name: "B", Default: "b"}, {Name: "C", Alternate: "${D}"}, {Name: "D"}, {Name: "E", Required: true},
	}
	if !slices.Equal(got, want) {
		t.Errorf("seen are %+v", got)
	}
}
