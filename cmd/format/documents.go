package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"
)

// DocumentsHelp is what --format of inspect takes, for its help.
const DocumentsHelp = "json, or a Go `template` of the document's fields"

// Documents reads --format of inspect: json, or a template that sees the fields of each document, by the names too that
// its JSON has.
func Documents(text string) (func([]any) ([]byte, error), error) {
	if text == "json" || text == "" {
		return func(list []any) ([]byte, error) {
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "    ")
			err := enc.Encode(list)
			return b.Bytes(), err
		}, nil
	}
	t, err := template.New("").Funcs(Functions()).Option("missingkey=error").Parse(strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(text))
	if err != nil {
		return nil, fmt.Errorf("--format is %q: %s", text, strings.TrimPrefix(err.Error(), "template: :"))
	}
	return func(list []any) ([]byte, error) {
		var all bytes.Buffer
		for _, doc := range list {
			var one bytes.Buffer
			err := t.Execute(&one, doc)
			if err != nil {
				var raw any
				if raw, err = rawOf(doc); err != nil {
					return nil, err
				}
				one.Reset()
				err = t.Execute(&one, raw)
			}
			if err != nil {
				return nil, fmt.Errorf("--format is %q: %s", text, strings.TrimPrefix(err.Error(), "template: :"))
			}
			all.Write(one.Bytes())
			all.WriteByte('\n')
		}
		return all.Bytes(), nil
	}, nil
}

// rawOf is a document as its JSON has it.
func rawOf(doc any) (raw any, err error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	return raw, dec.Decode(&raw)
}
