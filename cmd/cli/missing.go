package cli

import "slices"

// MissingVerb says what to do without a verb of Compose that Orlop does not
// have; "" of any other word. docs/compose-verbs.md says the same.
func MissingVerb(word string) string {
	instead := ""
	switch word {
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
	"": {"compatibility"},
	"config": {
		"no-interpolate", "no-normalize", "no-path-resolution",
	},
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
	return missing(what, "")
}
