package settings

import (
	"strings"
	"testing"

	"github.com/orlop/orlop/engine/trust"
)

// TestThePolicyIsReadBesideOtherMistakes: it is wrong only where it is wrong itself, or may be.
func TestThePolicyIsReadBesideOtherMistakes(t *testing.T) {
	const policy = "trust: {redis: {require: refuse}}\n"
	for text, want := range map[string]string{
		policy:                  "",
		"polisy: {}\n" + policy: "", policy + "security: hard\n": "", "registries: 7\n" + policy: "", "gc: {images: {keep: much, keep: more}}\n" + policy: "",
		"registries: {a: {<<: 3}}\n" + policy: "", "runtimes: {crun: {path: &p x}}\npolicy: {forbid: *p}\n" + policy: "",
		"": "none", "security: hardened\n": "none",
		"trsut: {redis: {require: refuse}}\n":       `:1:8: unknown key "trsut": did you mean "trust"?`,
		policy + policy:                             `:2:1: key "trust" is given twice`,
		policy + "gc: {}\ngc: {}\n":                 `:3:1: key "gc" is given twice`,
		"trust: [redis]\nregistries: 7\n":           ":1:8: trust: expected a mapping, not a list",
		"trust: {redis: {require: refus}}\n":        `:1:26: trust."redis".require: no such word as "refus"`,
		"trust: {redis: {require: refuse}}\nx: [\n": "not valid YAML",
		"- trust\n": ":1:1: expected a mapping, not a list",
	} {
		root := settingsFile(t, text)
		p, err := Trust(root)
		switch {
		case want == "none":
			if err != nil || len(p) > 0 {
				t.Errorf("%q: %v, %v", text, p, err)
			}
		case want == "":
			if err != nil || p["redis"].Require != trust.Refuse || !strings.HasPrefix(p["redis"].Place, Path(root)+":") {
				t.Errorf("%q: %+v, %v", text, p, err)
			}
		case err == nil || !strings.Contains(err.Error(), want):
			t.Errorf("%q\n got %v\nwant %s", text, err, want)
		}
	}
}
