package cli

import "slices"

// MissingVerb says what to do without a verb of Compose that Orlop does not
// have; "" of any other word. docs/compose-verbs.md says the same.
func MissingVerb(word string) string {
	instead := ""
	switch word {
	case "commit", "export", "publish", "push":
		instead = `"orlop build --cache-to type=registry,ref=NAME" keeps what was built; nothing is pushed`
	case "cp":
		instead = `use "orlop exec -T SERVICE tar ...", a bind mount, or "orlop watch"`
	case "alpha", "bridge":
	case "convert":
		return `orlop has no convert: "orlop config" prints the stack file`
	default:
		return ""
	}
	return missing(word, instead)
}

func missing(what, instead string) string {
	if instead == "" {
		return "orlop has no " + what + " yet"
	}
	return "orlop has no " + what + " yet: " + instead
}

// missingFlags are flags of Compose's verbs that are not there; "" are those of any.
var missingFlags = map[string][]string{
	"":      {"compatibility"},
	"build": {"push"},
	"config": {
		"lock-image-digests", "no-interpolate", "no-normalize", "no-path-resolution", "resolve-image-digests",
	},
	"pull": {"ignore-buildable", "ignore-pull-failures"},
}

// MissingFlag says what to do without a flag of Compose that a verb does not have; "" of
// any other flag.
func MissingFlag(verb, name string) string {
	if !slices.Contains(missingFlags[verb], name) && !slices.Contains(missingFlags[""], name) {
		return ""
	}
	what := "--" + name
	if verb != "" && slices.Contains(missingFlags[verb], name) {
		what = verb + " " + what
	}
	switch name {
	case "push":
		return missing(what, `"orlop build --cache-to type=registry,ref=NAME" keeps what was built`)
	}
	return missing(what, "")
}
