package ps

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

	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/spec"
)

// format is how containers are printed. Without any of these it is our table.
type format struct {
	text     string // as it was given
	json     bool
	template *template.Template
	header   bool // above what the template prints
}

// isTable says that it is our table.
func (f *format) isTable() bool { return !f.json && f.template == nil }

// header are the names of fields, in place of a container.
type header map[string]any

// Label is what the column of a label is called.
func (header) Label(name string) string {
	return strings.ToUpper(name[strings.LastIndexAny(name, ".-_")+1:])
}

// headers are what Docker's tables call the fields.
func headers() header {
	return header{
		"ID": "CONTAINER ID", "Name": "NAME", "Names": "NAMES", "Image": "IMAGE", "Command": "COMMAND", "CreatedAt": "CREATED AT", "RunningFor": "CREATED",
		"Ports": "PORTS", "State": "STATE", "Status": "STATUS", "Size": "SIZE", "Labels": "LABELS", "Mounts": "MOUNTS", "LocalVolumes": "LOCAL VOLUMES",
		"Networks": "NETWORKS", "Service": "SERVICE", "Project": "PROJECT", "Health": "HEALTH", "ExitCode": "EXIT CODE", "Publishers": []string{"PUBLISHERS"},
		"Created": "CREATED",
	}
}

// formatOf reads --format: table, json, a template, or "table" and a template.
func formatOf(text string) (*format, error) {
	f := &format{text: text}
	body := text
	if rest, isTable := strings.CutPrefix(text, "table "); isTable {
		f.header, body = true, strings.TrimSpace(rest)
	}
	switch {
	case text == "table":
		return f, nil
	case text == "json":
		f.json = true
		return f, nil
	case !strings.Contains(body, "{{"):
		return nil, fmt.Errorf("--format is %q: it must be table, json, or a Go template such as '{{.Name}}' or 'table {{.Name}}\\t{{.Status}}'", text)
	}
	body = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(body)
	var err error
	if f.template, err = template.New("").Funcs(functions()).Parse(body); err != nil {
		return nil, fmt.Errorf("--format is %q: %s", text, strings.TrimPrefix(err.Error(), "template: :"))
	}
	return f, f.try(f.template, io.Discard, display.Container{})
}

// functions are those that Docker's templates have.
func functions() template.FuncMap {
	return template.FuncMap{
		"json": func(v any) (string, error) {
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			err := enc.Encode(v)
			return strings.TrimSpace(b.String()), err
		},
		"split": strings.Split, "join": strings.Join, "lower": strings.ToLower, "upper": strings.ToUpper, "title": title,
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

// try prints something by a template; a mistake in it is in the words of who wrote it.
func (f *format) try(t *template.Template, w io.Writer, v any) error {
	err := t.Execute(w, v)
	if err == nil {
		return nil
	}
	names := slices.Sorted(maps.Keys(headers()))
	if m := unknownField().FindStringSubmatch(err.Error()); m != nil {
		hint := "there are " + strings.Join(names, ", ")
		if near := spec.DidYouMean(m[1], names); near != "" {
			hint = near
		}
		return fmt.Errorf("--format is %q: containers have no field %s: %s", f.text, m[1], hint)
	}
	if _, isOfWriter := errors.AsType[template.ExecError](err); !isOfWriter {
		return err
	}
	return fmt.Errorf("--format is %q: %s", f.text, strings.TrimPrefix(err.Error(), "template: :"))
}

func (f *format) print(w io.Writer, list []display.Container, whole bool) error {
	out := io.Writer(w)
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	if f.header {
		out = t
		if err := f.try(f.template, out, headers()); err != nil {
			return err
		}
		fmt.Fprintln(out)
	}
	for i := range list {
		c := list[i]
		if !whole {
			c = c.Cut()
		}
		if err := f.try(f.template, out, c); err != nil {
			return err
		}
		fmt.Fprintln(out)
	}
	return t.Flush()
}
