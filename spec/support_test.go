package spec

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const supportDoc = "../docs/compose-support.md"

// TestTheSupportDocumentSaysWhatTheTableSays keeps docs/compose-support.md
// and the table of keys the same; -update writes the document.
func TestTheSupportDocumentSaysWhatTheTableSays(t *testing.T) {
	want := supportDocument()
	if *update {
		if err := os.WriteFile(supportDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(supportDoc)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the table of keys says; run: go test ./spec -run Support -update", supportDoc)
	}
}

func supportDocument() string {
	var b strings.Builder
	b.WriteString(`# Compose keys, one by one

Every key of the Compose Specification, and what Orlop makes of it. This page is made from the table that the loader
itself works by (spec/schema.go), so that it cannot be wrong: ` + "`go test ./spec -run Support -update`" + ` writes it.

- **yes**: carried out.
- **not yet**: a warning, ` + "`not carried out yet`" + `, and an error with ` + "`--strict`" + `.
- **refused**: not yet either, and the outcome would be wrong without it: an error where a service uses it, unless it is empty.
  Of ` + "`driver_opts`" + ` of networks, those of Docker's bridge that close a network are (` + "`host_binding_ipv4`, `enable_icc` and\n  `enable_ip_masquerade`" + ` that are false).
- **obsolete**: a warning; the key has no meaning any more.

Warnings are one line a key or variable, with how often and where first; what was said once of the same content is not said again.
` + "`orlop config --verbose`" + ` shows every place.

Any other key is an error with its place and the nearest key that exists; keys that start with ` + "`x-`" + ` are yours.
Merging says what happens when a later file gives the key again; ` + "`!override`" + ` replaces anything, ` + "`!reset`" + ` removes it.

| key | carried out | form | merging |
|---|---|---|---|
`)
	for _, k := range sortedRows(schema()) {
		describeKey(&b, k, "")
	}
	b.WriteString(`
## Variables

` + "`$X`, `${X}`, `${X:-default}`, `${X-default}`, `${X:?error}`, `${X?error}`, `${X:+other}`, `${X+other}`" + `, nested up to ` +
		fmt.Sprint(maxNesting) + ` deep, and ` + "`$$`" + ` for a dollar
sign, in values (not in keys). A variable without a value is empty, with a warning; in an image or in the source of a mount
it is an error unless ` + "`--allow-unset`" + ` is given. In environment files too: for a dollar sign there, write ` + "`$$`" + ` or put the
value into single quotes.

A variable has the value of the caller's environment, else of ` + "`--env-file`" + ` (or ` + "`COMPOSE_ENV_FILES`" + `, or the .env of the directory
that the search for a stack file starts from), else of the .env beside the stack file. ` + "`COMPOSE_FILE`" + `, ` + "`COMPOSE_PATH_SEPARATOR`" + `,
` + "`COMPOSE_PROFILES`" + ` and ` + "`COMPOSE_PROJECT_NAME`" + ` are taken from all of these; names in ` + "`COMPOSE_FILE`" + ` of an environment file start from
that file. ` + "`COMPOSE_DISABLE_ENV_FILE=1`" + ` leaves every .env unread.

## Limits

One file: ` + fmt.Sprint(maxFileSize>>20) + ` MB, ` + fmt.Sprint(maxDepth) + ` levels, ` + fmt.Sprint(maxEntries) + ` entries of one mapping or list, ` + fmt.Sprint(maxNodes) + ` values
with its aliases filled in. A stack: ` +
		fmt.Sprint(maxServices) + ` services. A service: ` + fmt.Sprint(maxReplicas) + ` replicas, ` + fmt.Sprint(maxPorts) + ` published ports.
`)
	return b.String()
}

// sortedRows are the rows with what is carried out first.
func sortedRows(keys []key) []key {
	out := slices.Clone(keys)
	slices.SortStableFunc(out, func(a, b key) int {
		if isMissing(a) != isMissing(b) {
			return map[bool]int{true: 1, false: -1}[isMissing(a)]
		}
		return strings.Compare(a.name, b.name)
	})
	return out
}

func isMissing(k key) bool { return k.level == ignored || k.level == refused }

func describeKey(b *strings.Builder, k key, prefix string) {
	path := prefix + k.name
	carriedOut := map[level]string{carried: "yes", resolved: "yes", ignored: "not yet", refused: "refused", obsolete: "obsolete"}[k.level]
	form, merging := formOf(k), map[mergeRule]string{mergeReplace: "replaced", mergeMap: "key by key",
		mergeAppend: "appended, equal entries once", mergeUnique: "entries with the same identity replaced"}[k.shape.mergeRule()]
	if k.level == ignored || k.level == refused || k.level == obsolete {
		form, merging = "", ""
	}
	if k.former != "" {
		form += "; also by its former name `" + k.former + "`"
	}
	if k.note != "" {
		form = strings.TrimPrefix(form+"; "+k.note, "; ")
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", path, carriedOut, strings.ReplaceAll(form, "|", "\\|"), merging)
	if isMissing(k) {
		return
	}
	below := map[shape]string{named: ".*.", networkSet: ".*.", dependSet: ".*.", limitSet: ".*.", objects: "[].", watchList: "[].", portList: "[].",
		mountList: "[].", fileMounts: "[].", envFiles: "[].", includeList: "[]."}
	separator, ok := below[k.shape]
	if !ok {
		separator = "."
	}
	for _, child := range sortedRows(k.keys) {
		describeKey(b, child, path+separator)
	}
}

func formOf(k key) string {
	if k.words != nil && k.note == "" {
		return strings.Join(k.words, ", ")
	}
	return map[shape]string{
		text: "text", numberText: "text or a number", truth: "true or false", whole: "a whole number", real: "a number",
		span: "a duration", size: "a size", fileMode: "octal permission bits", texts: "a list", someTexts: "text or a list",
		pairs: "a mapping or a list of NAME=VALUE", labels: "a mapping or a list of NAME=VALUE", object: "a mapping",
		named: "a mapping of names", objects: "a list of mappings", watchList: "a list of mappings", commandLine: "text or a list of words",
		probe: "a shell line, or a list that starts with CMD, CMD-SHELL or NONE", portList: "a list, short or long",
		exposeList: "a list of ports", mountList: "a list, short or long", fileMounts: "a list of names or mappings",
		pathList: "a path or a list of paths", networkSet: "a list of names or a mapping", dependSet: "a list of names or a mapping", buildForm: "a directory or a mapping",
		envFiles: "a path, or a list of paths or mappings", hostList: "a list of NAME=ADDRESS or a mapping",
		limitSet: "a mapping to a number, or to soft and hard", external: "true or false",
		contextSet: "a mapping or a list of NAME=CONTEXT", dirPath: "a directory or a URL", filePath: "a path",
		extendsForm: "a service, or a mapping", includeList: "a list of paths or mappings",
	}[k.shape]
}

// TestEveryCarriedKeyHasAPlaceInTheProject holds that a key that is said to be
// carried out has a place in the project (or is resolved while loading).
func TestEveryCarriedKeyHasAPlaceInTheProject(t *testing.T) {
	types := map[string]reflect.Type{
		"services": reflect.TypeFor[Service](), "networks": reflect.TypeFor[Network](), "volumes": reflect.TypeFor[Volume](),
		"secrets": reflect.TypeFor[Secret](), "configs": reflect.TypeFor[Config](),
	}
	for section := range types {
		known := map[string]bool{}
		for i := range types[section].NumField() {
			name, _, _ := strings.Cut(types[section].Field(i).Tag.Get("json"), ",")
			known[name] = true
		}
		for _, k := range find(schema(), section).keys {
			if k.level == carried && !known[k.name] && k.name != "content" {
				t.Errorf("%s.*.%s is carried out, but the project has no room for it", section, k.name)
			}
			if k.level == ignored && known[k.name] && k.name != "driver_opts" { // kept for the engine to come
				t.Errorf("%s.*.%s is in the project, but not carried out", section, k.name)
			}
		}
	}
}
