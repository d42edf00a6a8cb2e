package stackfile

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec/forms"
	"github.com/orlop/orlop/spec/values"
	"github.com/orlop/orlop/spec/variables"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/schema"
	"github.com/orlop/orlop/spec/userfile"
)

const supportDoc = "../../docs/compose-support.md"

// TestTheSupportDocumentSaysWhatTheTableSays keeps docs/compose-support.md
// and the table of keys the same; -update writes the document.
func TestTheSupportDocumentSaysWhatTheTableSays(t *testing.T) {
	want := supportDocument(t)
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
		t.Errorf("%s is not what the table of keys says; run: go test ./spec/stackfile -run Support -update", supportDoc)
	}
}

func supportDocument(t *testing.T) string {
	var b strings.Builder
	b.WriteString(`# Compose keys, one by one

Every key of the Compose Specification, and what Orlop makes of it. This page is made from the table that the loader
itself works by (spec/schema), so that it cannot be wrong: ` + "`go test ./spec/stackfile -run Support -update`" + ` writes it.

- **yes**: carried out.
- **not here**: the note says what does it instead; a warning, ` + "`not supported`" + `, and an error with ` + "`--strict`" + `.
- **refused**: not here either, and the outcome would be wrong without it: an error where a service uses it, unless it is empty.
- **no effect**: accepted and checked; it means nothing on one machine with Linux, and the note says why.
- **obsolete**: a warning; the key has no meaning any more.

Warnings are one line a key or variable, with how often and where first; what was said once of the same content is not said again.
` + "`orlop config --verbose`" + ` shows every place.

Any other key is an error with its place and the nearest key that exists; keys that start with ` + "`x-`" + ` are yours.
Merging says what happens when a later file gives the key again; ` + "`!override`" + ` replaces anything, ` + "`!reset`" + ` removes it.

| key | carried out | form | merging | run by |
|---|---|---|---|---|
`)
	tested := testedBy(t)
	eachRow(schema.Root(), "", func(k schema.Key, path string) { describeKey(&b, k, path, tested[path]) })
	b.WriteString(`
## Variables

` + "`$X`, `${X}`, `${X:-default}`, `${X-default}`, `${X:?error}`, `${X?error}`, `${X:+other}`, `${X+other}`" + `, nested up to ` +
		fmt.Sprint(variables.MaxNesting) + ` deep, and ` + "`$$`" + ` for a dollar
sign, in values (not in keys). A variable without a value is empty, with a warning; in an image or in the source of a mount
it is an error unless ` + "`--allow-unset`" + ` is given. In environment files too: for a dollar sign there, write ` + "`$$`" + ` or put the
value into single quotes.

A variable has the value of the caller's environment, else of ` + "`--env-file`" + ` (or ` + "`COMPOSE_ENV_FILES`" + `, or the .env of the directory
that the search for a stack file starts from), else of the .env beside the stack file. ` + "`COMPOSE_FILE`" + `, ` + "`COMPOSE_PATH_SEPARATOR`" + `,
` + "`COMPOSE_PROFILES`" + ` and ` + "`COMPOSE_PROJECT_NAME`" + ` are taken from all of these; names in ` + "`COMPOSE_FILE`" + ` of an environment file start from
that file. ` + "`COMPOSE_DISABLE_ENV_FILE=1`" + ` leaves every .env unread.

## Limits

One file: ` + fmt.Sprint(userfile.MaxText>>20) + ` MB, ` + fmt.Sprint(maxDepth) + ` levels, ` + fmt.Sprint(maxEntries) + ` entries of one mapping or list, ` + fmt.Sprint(maxNodes) + ` values
with its aliases filled in. A stack: ` +
		fmt.Sprint(maxServices) + ` services. A service: ` + fmt.Sprint(values.MaxReplicas) + ` replicas, ` + fmt.Sprint(forms.MaxPorts) + ` published ports.

Every file that a stack names is a regular one (or /dev/null, which is empty) of at most ` + fmt.Sprint(userfile.MaxText>>20) + ` MB: a pipe, a socket or a device is
refused. What the command line names may be a pipe too (` + "`-f <(generate)`, `-f -`, `--env-file /dev/stdin`" + `): it is read once,
within the same limit, and an interrupt ends it.
`)
	return b.String()
}

// sortedRows are the rows with what is carried out first.
func sortedRows(keys []schema.Key) []schema.Key {
	out := slices.Clone(keys)
	slices.SortStableFunc(out, func(a, b schema.Key) int {
		if isMissing(a) != isMissing(b) {
			return map[bool]int{true: 1, false: -1}[isMissing(a)]
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

func isMissing(k schema.Key) bool { return k.Level == schema.Unsupported || k.Level == schema.Refused }

// describeKey writes the row of a key, with the first script that runs it.
func describeKey(b *strings.Builder, k schema.Key, path, script string) {
	carriedOut := map[schema.Level]string{schema.Supported: "yes", schema.LoadOnly: "yes", schema.Unsupported: "not here", schema.Refused: "refused", schema.Obsolete: "obsolete", schema.NoEffect: "no effect"}[k.Level]
	form, merging := formOf(k), map[schema.MergeRule]string{schema.MergeReplace: "replaced", schema.MergeMap: "key by key",
		schema.MergeAppend: "appended, equal entries once", schema.MergeUnique: "entries with the same identity replaced"}[k.Shape.MergeRule()]
	if k.Level == schema.Unsupported || k.Level == schema.Refused || k.Level == schema.Obsolete || k.Level == schema.NoEffect {
		form, merging = "", ""
	}
	if k.Former != "" {
		form += "; also by its former name `" + k.Former + "`"
	}
	if k.Note != "" {
		form = strings.TrimPrefix(form+"; "+k.Note, "; ")
	}
	test := notRun[path]
	if script != "" && carriedOut == "yes" {
		test = fmt.Sprintf("[%s](../%s)", strings.TrimSuffix(filepath.Base(script), ".txtar"), script)
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", path, carriedOut, strings.ReplaceAll(form, "|", "\\|"), merging, test)
}

// separatorOf is what stands between a key and those below it.
func separatorOf(k *schema.Key) string {
	below := map[schema.Shape]string{schema.Named: ".*.", schema.Networks: ".*.", schema.DependsOn: ".*.", schema.Ulimits: ".*.", schema.ObjectList: "[].", schema.Watch: "[].", schema.Ports: "[].",
		schema.Mounts: "[].", schema.FileMounts: "[].", schema.EnvFiles: "[].", schema.Include: "[]."}
	if separator, ok := below[k.Shape]; ok {
		return separator
	}
	return "."
}

// eachRow visits the rows that the page of keys has.
func eachRow(keys []schema.Key, prefix string, visit func(k schema.Key, path string)) {
	for _, k := range sortedRows(keys) {
		path := prefix + k.Name
		visit(k, path)
		if isMissing(k) {
			continue
		}
		children := slices.DeleteFunc(slices.Clone(k.Keys), func(child schema.Key) bool {
			isOfServices := path == "jobs" && schema.Find(serviceRow().Keys, child.Name) != nil
			return isOfServices || k.Name == "pre_start" && child.Name != "per_replica" // as in services.*
		})
		eachRow(children, path+separatorOf(&k), visit)
	}
}

func formOf(k schema.Key) string {
	if k.Words != nil && k.Note == "" {
		return strings.TrimPrefix(strings.Join(k.Words, ", "), ", ")
	}
	return map[schema.Shape]string{
		schema.String: "text", schema.StringOrNumber: "text or a number", schema.Boolean: "true or false", schema.Integer: "an integer", schema.Number: "a number",
		schema.Duration: "a duration", schema.Bytes: "a size", schema.FileMode: "octal permission bits", schema.StringList: "a list", schema.StringOrNumberList: "a list", schema.BytesOrUnlimited: "a size, or -1", schema.Microseconds: "microseconds or a duration", schema.StringOrList: "text or a list",
		schema.MappingOrList: "a mapping or a list of NAME=VALUE", schema.Labels: "a mapping or a list of NAME=VALUE", schema.Object: "a mapping", schema.Logging: "a mapping",
		schema.Named: "a mapping of names", schema.ObjectList: "a list of mappings", schema.Watch: "a list of mappings", schema.Command: "text or a list of words",
		schema.HealthTest: "a shell line, or a list that starts with CMD, CMD-SHELL or NONE", schema.Ports: "a list, short or long",
		schema.Expose: "a list of ports", schema.Mounts: "a list, short or long", schema.FileMounts: "a list of names or mappings",
		schema.PathOrList: "a path or a list of paths", schema.Networks: "a list of names or a mapping", schema.DependsOn: "a list of names or a mapping", schema.Build: "a directory or a mapping",
		schema.EnvFiles: "a path, or a list of paths or mappings", schema.Hosts: "a list of NAME=ADDRESS or a mapping",
		schema.Ulimits: "a mapping to a number, or to soft and hard", schema.External: "true or false",
		schema.Contexts: "a mapping or a list of NAME=CONTEXT", schema.DirPath: "a directory or a URL", schema.FilePath: "a path",
		schema.StringOrFlag: "text, or true or false", schema.SSH: "a mapping or a list of default and ID=PATH", schema.Extends: "a service, or a mapping", schema.Include: "a list of paths or mappings",
	}[k.Shape]
}

// TestEveryCarriedKeyHasAPlaceInTheProject holds that a key that is said to be
// carried out has a place in the project (or is resolved while loading).
func TestEveryCarriedKeyHasAPlaceInTheProject(t *testing.T) {
	types := map[string]reflect.Type{
		"services": reflect.TypeFor[spec.Service](), "networks": reflect.TypeFor[spec.Network](), "volumes": reflect.TypeFor[spec.Volume](),
		"secrets": reflect.TypeFor[spec.Secret](), "configs": reflect.TypeFor[spec.Config](),
	}
	for section := range types {
		known := map[string]bool{}
		for i := range types[section].NumField() {
			name, _, _ := strings.Cut(types[section].Field(i).Tag.Get("json"), ",")
			known[name] = true
		}
		for _, k := range schema.Find(schema.Root(), section).Keys {
			if k.Level == schema.Supported && !known[k.Name] && k.Name != "content" {
				t.Errorf("%s.*.%s is carried out, but the project has no room for it", section, k.Name)
			}
			if k.Level == schema.Unsupported && known[k.Name] {
				t.Errorf("%s.*.%s is in the project, but not carried out", section, k.Name)
			}
		}
	}
}
