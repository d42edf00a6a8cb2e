package cli

import "slices"

// MissingVerb says what to do without a verb of Compose that Orlop does not
// have; "" of any other word. docs/compose-verbs.md says the same.
func MissingVerb(word string) string {
	instead := ""
	switch word {
	case "attach":
		instead = `"orlop up" without -d shows what is printed, and "orlop logs -f"`
	case "commit", "export":
		instead = `"orlop image save" writes an image as an archive`
	case "cp":
		instead = `use "orlop exec -T SERVICE tar ...", a bind mount, or "orlop watch"`
	case "alpha", "bridge", "pause", "unpause":
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
	"": {"all-resources", "compatibility", "dry-run", "parallel"},
	"up": {
		"always-recreate-deps", "attach", "attach-dependencies", "menu", "no-attach", "quiet-build", "renew-anon-volumes",
	},
	"build": {"builder", "check", "memory", "print", "provenance", "sbom", "ssh"},
	"config": {
		"environment", "no-consistency", "no-interpolate", "no-normalize", "no-path-resolution", "output", "variables",
	},
	"events":  {"since", "until"},
	"kill":    {"remove-orphans"},
	"logs":    {"index"},
	"ls":      {"filter"},
	"ps":      {"orphans"},
	"publish": {"insecure-registry"},
	"restart": {"no-deps"},
	"run":     {"env-from-file", "quiet", "quiet-build", "remove-orphans", "use-aliases"},
	"start":   {"wait", "wait-timeout"},
	"watch":   {"prune", "quiet"},
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
	case "dry-run":
		return missing(what, `"orlop plan" says what would be done`)
	case "parallel":
		return missing(what, "set COMPOSE_PARALLEL_LIMIT")
	case "ssh":
		return missing(what, "write ssh: below the build of the stack file")
	case "insecure-registry":
		return missing(what, "set http: true for the registry in engine.yaml")
	case "wait", "wait-timeout":
		return missing(what, `use "orlop up -d --wait"`)
	case "index":
		return missing(what, "orlop logs shows all containers of a service")
	}
	return missing(what, "")
}
