package container

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/format"
)

func (v *Verbs) inspect() *cobra.Command {
	var text string
	c := &cobra.Command{
		Use: "inspect CONTAINER...", Short: "Tell how containers are made and how they stand, in Docker's words", Args: cli.AtLeast(1, "a container"),
		Example:           "  orlop container inspect -f '{{.State.Health.Status}}' shop-db-1\n  orlop container inspect shop-web-1",
		ValidArgsFunction: v.complete,
		RunE: func(c *cobra.Command, names []string) error {
			print, err := inspectFormat(text)
			if err != nil {
				return err
			}
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				found, missing := find(ctx, client, names)
				list := []*document{}
				for _, m := range found {
					details, err := client.Container.Inspect(ctx, &api.InspectContainerRequest{Id: m.ID})
					if err != nil {
						return err
					}
					doc, err := documentOf(&m, details)
					if err != nil {
						return err
					}
					list = append(list, doc)
				}
				out, err := print(list)
				if err == nil {
					_, err = v.Of().Stdout.Write(out)
				}
				return errors.Join(missing, err)
			})
		},
	}
	c.Flags().StringVarP(&text, "format", "f", "json", "json, or a Go `template` of the document's fields")
	c.Flags().Bool("size", false, "")
	c.Flags().Lookup("size").Hidden = true
	return c
}

// inspectFormat reads --format of inspect, whose templates see the fields by the names that the JSON has too.
func inspectFormat(text string) (func([]*document) ([]byte, error), error) {
	if text == "json" || text == "" {
		return func(list []*document) ([]byte, error) {
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "    ")
			err := enc.Encode(list)
			return b.Bytes(), err
		}, nil
	}
	t, err := template.New("").Funcs(format.Functions()).Option("missingkey=error").Parse(strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(text))
	if err != nil {
		return nil, fmt.Errorf("--format is %q: %s", text, strings.TrimPrefix(err.Error(), "template: :"))
	}
	return func(list []*document) ([]byte, error) {
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
func rawOf(doc *document) (raw any, err error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	return raw, dec.Decode(&raw)
}
