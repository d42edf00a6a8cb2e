package stackfile

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/userfile"
	"github.com/orlop/orlop/spec/values"
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
			if content != nil && tree.TextAt(f.Value, "template_driver") != "" {
				if err := values.CheckTemplate(string(content)); err != nil {
					content = nil
					problem = spec.Diagnostic{Severity: spec.Error, Path: path, Place: f.Value.Value("template_driver").At, Message: "it is no template: " + err.Error(),
						Hint: "write it as for Go's text/template, or remove template_driver"}
				}
			}
			switch {
			case content != nil:
				p.Payloads[path] = spec.Payload{Content: content, Secret: section == "secrets"}
			case problem.Message != "" && needed[section][f.Key]:
				l.Report(problem)
			}
		}
	}
	l.builtWithExternal(p)
}

// builtWithExternal complains of builds that are to have a secret of the engine's: what
// builds have is lent by the command, which has no content of it.
func (l *loader) builtWithExternal(p *spec.Project) {
	var names []string
	for name, s := range p.Services {
		if s.Build != nil && len(s.Build.Secrets) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		for i, use := range p.Services[name].Build.Secrets {
			if s := p.Secrets[use.Source]; s != nil && s.External {
				path := fmt.Sprintf("services.%s.build.secrets[%d]", name, i)
				l.Report(spec.Diagnostic{Severity: spec.Error, Path: path, Place: p.Places.Nearest(path),
					Message: "an external secret can't be lent to a build", Hint: "write file: or environment: for it"})
			}
		}
	}
}

// payload is the content of a secret or config, or nil and what is wrong with it.
func (l *loader) payload(f tree.Field, path string) ([]byte, spec.Diagnostic) {
	wrong := func(n *tree.Node, message, hint string) ([]byte, spec.Diagnostic) {
		return nil, spec.Diagnostic{Severity: spec.Error, Path: path, Place: n.At, Message: message, Hint: hint, Width: n.Width}
	}
	if tree.TextAt(f.Value, "external") == "true" {
		return nil, spec.Diagnostic{} // the engine has it, or says that it hasn't
	}
	if file := f.Value.Value("file"); file != nil {
		content, err := l.readFile(file.Text)
		if err != nil {
			return wrong(file, "cannot read "+cmp.Or(file.Raw(), file.Text)+": "+userfile.Cause(err), "create it, or use environment: or content:")
		}
		return content, spec.Diagnostic{}
	}
	if name := f.Value.Value("environment"); name != nil {
		lookup := l.lookup
		if vars := name.Vars(); vars != nil {
			lookup = vars.Lookup
		}
		value, ok := l.toldAt(name.At, lookup)(name.Text)
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
