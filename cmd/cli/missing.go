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
		if ours := dockers[word]; ours != "" {
			return "orlop has no " + word + ": " + ours
		}
		return ""
	}
	return missing(word, instead)
}

// dockers are verbs of Docker that have another name here.
var dockers = map[string]string{
	"rmi": `"orlop image rm" removes images`, "tag": `"orlop image tag" names images`, "import": `"orlop image import" makes an image of a tar archive`,
	"load": `"orlop image load" reads an archive of images`, "save": `"orlop image save" writes images to an archive`, "history": `"orlop image history" tells what an image consists of`,
	"inspect": `"orlop container inspect" and "orlop image inspect" tell all about one`, "diff": `"orlop container diff" and "orlop image diff" tell what differs`,
	"prune": `"orlop system prune" removes what nothing uses`, "info": `"orlop engine status" and "orlop doctor" tell how things are`,
	"rename": "a container keeps the name that it was made with",
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
