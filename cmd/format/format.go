// Package format prints what verbs list as --format asks for: as JSON, or by a Go template
// of Docker's fields and functions, with a header above where that begins with "table".
package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"text/template"

	"github.com/orlop/orlop/spec"
)

// Help is what --format takes, for its help.
const Help = "table, json, or a Go `template` of Docker's fields, with a header behind \"table\""

// Headers are what tables call the fields of something, in place of one of them.
type Headers map[string]any

// Label is what the column of a label is called.
func (Headers) Label(name string) string {
	return strings.ToUpper(name[strings.LastIndexAny(name, ".-_")+1:])
}

// Format is how things of a kind are printed. Without JSON or a template it is the verb's own table.
type Format[T any] struct {
	text     string // as it was given
	kind     string // "containers"
	headers  Headers
	json     bool
	template *template.Template
	header   bool // above what the template prints
}

// Parse reads --format: table, json, a template, or "table" and a template. kind names the things
// that are printed, in the plural.
func Parse[T any](text, kind string, headers Headers) (*Format[T], error) {
	f := &Format[T]{text: text, kind: kind, headers: headers}
	body := text
	if rest, isTable := strings.CutPrefix(text, "table "); isTable {
		f.header, body = true, strings.TrimSpace(rest)
	}
	switch {
	case text == "table" || text == "":
		return f, nil
	case text == "json":
		f.json = true
		return f, nil
	case !strings.Contains(body, "{{"):
		return nil, fmt.Errorf("--format is %q: it must be table, json, or a Go template such as '{{.Name}}' or 'table {{.Name}}\\t{{.Status}}'", text)
	}
	body = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(body)
	var err error
	if f.template, err = template.New("").Funcs(Functions()).Parse(body); err != nil {
		return nil, fmt.Errorf("--format is %q: %s", text, strings.TrimPrefix(err.Error(), "template: :"))
	}
	var none T
	return f, f.try(io.Discard, none)
}

// IsTable says that it is the verb's own table.
func (f *Format[T]) IsTable() bool { return !f.json && f.template == nil }

// IsJSON says that it is JSON.
func (f *Format[T]) IsJSON() bool { return f.json }

// Functions are those that Docker's templates have.
func Functions() template.FuncMap {
	return template.FuncMap{
		"json": func(v any) (string, error) {
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			err := enc.Encode(v)
			return strings.TrimSpace(b.String()), err
		},
		"split": strings.Split, "join": strings.Join, "lower": strings.ToLower, "upper": strings.ToUpper, "title": title, "println": fmt.Sprintln,
		"pad": func(s string, before, after int) string {
			return strings.Repeat(" ", max(0, before)) + s + strings.Repeat(" ", max(0, after))
		},
		"truncate": func(s string, n int) string {
			r := []rune(s)
			return string(r[:max(0, min(len(r), n))])
		},
	}
}

func title(s string) string {
	if s == "" {
		return ""
	}
	r := []rune(s)
	return strings.ToUpper(string(r[:1])) + string(r[1:])
}

var unknownField = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`can't evaluate field (\w+)`) })

// try prints something by the template; a mistake in it is in the words of who wrote it.
func (f *Format[T]) try(w io.Writer, v any) error {
	err := f.template.Execute(w, v)
	if err == nil {
		return nil
	}
	if m := unknownField().FindStringSubmatch(err.Error()); m != nil {
		names := slices.Sorted(maps.Keys(f.headers))
		hint := "there are " + strings.Join(names, ", ")
		if near := spec.DidYouMean(m[1], names); near != "" {
			hint = near
		}
		return fmt.Errorf("--format is %q: %s have no field %s: %s", f.text, f.kind, m[1], hint)
	}
	if _, isOfWriter := errors.AsType[template.ExecError](err); !isOfWriter {
		return err
	}
	return fmt.Errorf("--format is %q: %s", f.text, strings.TrimPrefix(err.Error(), "template: :"))
}

// Print prints a list, a line each, and all of it at once, for readers that leave early. It must not be asked of the verb's own table.
func (f *Format[T]) Print(to io.Writer, list []T) error {
	var text bytes.Buffer
	err := f.print(&text, list)
	if _, failed := to.Write(text.Bytes()); err == nil {
		err = failed
	}
	return err
}

func (f *Format[T]) print(w io.Writer, list []T) error {
	if f.json {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		for i := range list {
			if err := enc.Encode(&list[i]); err != nil {
				return err
			}
		}
		return nil
	}
	out := io.Writer(w)
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	if f.header {
		out = t
		if err := f.try(out, f.headers); err != nil {
			return err
		}
		fmt.Fprintln(out)
	}
	for i := range list {
		if err := f.try(out, list[i]); err != nil {
			return err
		}
		fmt.Fprintln(out)
	}
	return t.Flush()
}
