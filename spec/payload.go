package spec

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// payloads reads the contents of the secrets and configs that services use.
func (l *loader) payloads(p *Project, tree *node) {
	if l.opts.SkipPayloads {
		return
	}
	p.Payloads = map[string]Payload{}
	for _, section := range []string{"secrets", "configs"} {
		declared := tree.value(section)
		if declared == nil {
			continue
		}
		for _, f := range declared.fields {
			path := section + "." + f.key
			if content, ok := l.payload(f, path); ok {
				p.Payloads[path] = Payload{Content: content, Secret: section == "secrets"}
			}
		}
	}
}

func (l *loader) payload(f field, path string) ([]byte, bool) {
	kind := strings.TrimSuffix(path[:strings.IndexByte(path, '.')], "s")
	if textAt(f.value, "external") == "true" {
		l.fail(f.value.value("external"), path, "an external "+kind+" is not possible: there is no store to take it from",
			"write file:, environment: or content:")
		return nil, false
	}
	if file := f.value.value("file"); file != nil {
		l.reading(file.text)
		content, err := readPayload(file.text)
		if err != nil {
			l.fail(file, path, "cannot read "+cmpOr(file.raw, file.text)+": "+cause(err), "create it, or use environment: or content:")
		}
		return content, err == nil
	}
	if name := f.value.value("environment"); name != nil {
		value, ok := l.env[name.text]
		if !ok {
			l.fail(name, path, "variable "+name.text+" is not set", "set it in the environment or in .env")
		}
		return []byte(value), ok
	}
	content := f.value.value("content")
	if content == nil {
		return nil, false
	}
	return []byte(content.text), true
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
