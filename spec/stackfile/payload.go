package stackfile

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/orlop/orlop/spec"
)

// payloads reads the contents of the secrets and configs that services use.
// Those that are needed must be there.
func (l *loader) payloads(p *spec.Project, tree *node, needed map[string]map[string]bool) {
	if l.opts.SkipPayloads {
		return
	}
	p.Payloads = map[string]spec.Payload{}
	for _, section := range []string{"secrets", "configs"} {
		declared := tree.value(section)
		if declared == nil {
			continue
		}
		for _, f := range declared.fields {
			path := section + "." + f.key
			content, problem := l.payload(f, path)
			switch {
			case content != nil:
				p.Payloads[path] = spec.Payload{Content: content, Secret: section == "secrets"}
			case problem.Message != "" && needed[section][f.key]:
				l.report(problem)
			}
		}
	}
}

// payload is the content of a secret or config, or nil and what is wrong with it.
func (l *loader) payload(f field, path string) ([]byte, spec.Diagnostic) {
	kind := strings.TrimSuffix(path[:strings.IndexByte(path, '.')], "s")
	wrong := func(n *node, message, hint string) ([]byte, spec.Diagnostic) {
		return nil, spec.Diagnostic{Severity: spec.Error, Path: path, Place: n.at, Message: message, Hint: hint, Width: n.width}
	}
	if textAt(f.value, "external") == "true" {
		return wrong(f.value.value("external"), "an external "+kind+" is not possible: there is no store to take it from",
			"write file:, environment: or content:")
	}
	if file := f.value.value("file"); file != nil {
		l.reading(file.text)
		content, err := readPayload(file.text)
		if err != nil {
			return wrong(file, "cannot read "+cmp.Or(file.raw, file.text)+": "+cause(err), "create it, or use environment: or content:")
		}
		return content, spec.Diagnostic{}
	}
	if name := f.value.value("environment"); name != nil {
		lookup := l.lookup
		if name.vars != nil {
			lookup = name.vars.lookup
		}
		value, ok := lookup(name.text)
		if !ok {
			return wrong(name, "variable "+name.text+" is not set", "set it in the environment or in .env")
		}
		return []byte(value), spec.Diagnostic{}
	}
	if content := f.value.value("content"); content != nil {
		return []byte(content.text), spec.Diagnostic{}
	}
	return nil, spec.Diagnostic{}
}

// readPayload reads the file of a secret or config, within reason.
func readPayload(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("it is not a file")
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err == nil && len(content) > maxFileSize {
		return nil, fmt.Errorf("it is larger than %d MB", maxFileSize>>20)
	}
	return content, err
}
