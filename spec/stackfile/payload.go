package stackfile

import (
	"cmp"
	"strings"

	"github.com/orlop/orlop/spec/tree"

	"github.com/orlop/orlop/spec"
)

// payloads reads the contents of the secrets and configs that services use.
// Those that are needed must be there.
func (l *loader) payloads(p *spec.Project, root *tree.Node, needed map[string]map[string]bool) {
	if l.opts.SkipPayloads {
		return
	}
	p.Payloads = map[string]spec.Payload{}
	for _, section := range []string{"secrets", "configs"} {
		declared := root.Value(section)
		if declared == nil {
			continue
		}
		for _, f := range declared.Fields {
			path := section + "." + f.Key
			content, problem := l.payload(f, path)
			switch {
			case content != nil:
				p.Payloads[path] = spec.Payload{Content: content, Secret: section == "secrets"}
			case problem.Message != "" && needed[section][f.Key]:
				l.Report(problem)
			}
		}
	}
}

// payload is the content of a secret or config, or nil and what is wrong with it.
func (l *loader) payload(f tree.Field, path string) ([]byte, spec.Diagnostic) {
	kind := strings.TrimSuffix(path[:strings.IndexByte(path, '.')], "s")
	wrong := func(n *tree.Node, message, hint string) ([]byte, spec.Diagnostic) {
		return nil, spec.Diagnostic{Severity: spec.Error, Path: path, Place: n.At, Message: message, Hint: hint, Width: n.Width}
	}
	if tree.TextAt(f.Value, "external") == "true" {
		return wrong(f.Value.Value("external"), "an external "+kind+" is not possible: there is no store to take it from",
			"write file:, environment: or content:")
	}
	if file := f.Value.Value("file"); file != nil {
		content, err := l.readFile(file.Text)
		if err != nil {
			return wrong(file, "cannot read "+cmp.Or(file.Raw, file.Text)+": "+cause(err), "create it, or use environment: or content:")
		}
		return content, spec.Diagnostic{}
	}
	if name := f.Value.Value("environment"); name != nil {
		lookup := l.lookup
		if name.Vars != nil {
			lookup = name.Vars.Lookup
		}
		value, ok := lookup(name.Text)
		if !ok {
			return wrong(name, "variable "+name.Text+" is not set", "set it in the environment or in .env")
		}
		return []byte(value), spec.Diagnostic{}
	}
	if content := f.Value.Value("content"); content != nil {
		return []byte(content.Text), spec.Diagnostic{}
	}
	return nil, spec.Diagnostic{}
}
