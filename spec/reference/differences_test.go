package reference

import "regexp"

// Outcomes of a document on which the loaders do not agree.
const (
	refused  = "we refuse what compose-go accepts"
	accepted = "we accept what compose-go refuses"
	differs  = "we make another project of it"
)

// kind is a complaint of ours that docs/differences.md explains, and how many
// documents have nothing but that.
type kind struct {
	pattern   *regexp.Regexp
	documents int
}

var kinds = []kind{
	{regexp.MustCompile(`memory and swap have a limit together`), 1},
	{regexp.MustCompile(`is not supported, and the outcome would be wrong without it|(cpu_quota and cpus|(host|domain)name and uts: host) exclude each other|it has no names of its own that a link could add to|keeps its IPC namespace to itself`), 2},
	{regexp.MustCompile(`sets no parameter of a link`), 3},
	{regexp.MustCompile(`(networks|volumes)\.[^ ]+\.driver: "[^"]+" is not one of (bridge|local|default)`), 7},
	{regexp.MustCompile(`the target "[A-Za-z]:\\\\[^"]*" is not an absolute path`), 3},
}

// disagreement is what becomes of one document, and why that stays.
type disagreement struct{ outcome, reason string }

// differences are the single documents on which the loaders do not agree.
var differences = map[string]disagreement{
	"TestExtendsNil-c89cadf3":             {differs, "compose-go leaves an extends that it has carried out in the project if what is extended is empty"},
	"TestUseServiceNameAliasJob-6a5c9656": {differs, "compose-go drops what jobs alone use; what it makes then can't be loaded as it is meant"},
	"TestUseServiceNameAliasJob-7e8a6665": {differs, "compose-go drops what jobs alone use; what it makes then can't be loaded as it is meant"},
}
