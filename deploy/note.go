package deploy

import (
	"fmt"

	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/deploy/fields"
	"github.com/orlop/orlop/deploy/manifest"
)

// Annotations of ours on objects.
const (
	noteHash     = "orlop.dev/hash"     // of the object as it was last applied
	noteRevision = "orlop.dev/revision" // that it was last applied by
)

// noted is the object as it is applied: with its hash, and the revision that it is of.
func noted(o *manifest.Object, set string, revision int) map[string]any {
	body := fields.Copy(o.Body).(map[string]any)
	meta := body["metadata"].(map[string]any)
	notes, _ := meta["annotations"].(map[string]any)
	if notes == nil {
		notes = map[string]any{}
		meta["annotations"] = notes
	}
	notes[noteHash], notes[noteRevision] = o.Hash(), fmt.Sprint(revision)
	meta["labels"].(map[string]any)[labelPartOf] = set
	return body
}

func templateOf(o *cluster.Live) any {
	return fields.At(o.Object, []string{"spec", "template"})
}
