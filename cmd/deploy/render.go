package deploy

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"github.com/orlop/orlop/cmd/cli"
	core "github.com/orlop/orlop/deploy"
	"github.com/orlop/orlop/deploy/manifest"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

func renderCommand(invocation func() *cli.Invocation) *cobra.Command {
	var w what
	var dir string
	var overlays []string
	c := &cobra.Command{
		Use: "render", Short: "Print the objects as kubectl and kustomize take them", Args: cobra.NoArgs,
		Long: "Print the objects as kubectl takes them, or write a kustomize base with overlays. No cluster is asked, and nothing is built: images that the\n" +
			"stack builds have tags made of what they are built from, which deploy and --build push. What is not pushed is named at the end.",
		Example: "  orlop deploy render --registry registry.example/team | kubectl apply -f -\n" +
			"  orlop deploy render -o k8s --overlay staging --overlay production  a kustomize base, and an overlay for each",
		RunE: func(c *cobra.Command, _ []string) error {
			return with(c, invocation(), func(ctx context.Context, inv *cli.Invocation) error { return render(ctx, inv, w, dir, overlays) })
		},
	}
	w.flags(c.Flags())
	c.Flags().StringVarP(&dir, "output", "o", "", "`directory` for a kustomize base and its overlays")
	c.Flags().StringArrayVar(&overlays, "overlay", nil, "`name` of an overlay, which is its namespace too; may be given many times")
	return c
}

// bridgeCommand is Compose's name for a render into files.
func bridgeCommand(invocation func() *cli.Invocation) *cobra.Command {
	var w what
	var dir, templates string
	var transformations []string
	convert := &cobra.Command{
		Use: "convert", Short: "Write the stack as a kustomize base with an overlay", Args: cobra.NoArgs,
		Example: "  orlop bridge convert -o k8s && kubectl apply -k k8s/overlays/desktop",
		RunE: func(c *cobra.Command, _ []string) error {
			if len(transformations) > 0 || templates != "" {
				return errors.New("--transformation and --templates are of images of Docker's, which are not run: without them, manifests of Kubernetes are written")
			}
			return with(c, invocation(), func(ctx context.Context, inv *cli.Invocation) error {
				return render(ctx, inv, w, dir, []string{"desktop"})
			})
		},
	}
	w.flags(convert.Flags())
	convert.Flags().StringVarP(&dir, "output", "o", "out", "`directory` for the files")
	convert.Flags().StringArrayVarP(&transformations, "transformation", "t", nil, "not supported")
	convert.Flags().StringVar(&templates, "templates", "", "not supported")
	convert.Flags().BoolP("yes", "y", true, "write into a directory that has files; it is never asked")
	c := &cobra.Command{Use: "bridge", Short: "Write the stack as manifests of Kubernetes, as Compose's bridge does", Args: cobra.NoArgs, Example: convert.Example}
	c.AddCommand(convert)
	return c
}

func render(ctx context.Context, inv *cli.Invocation, w what, dir string, overlays []string) error {
	if len(overlays) > 0 && dir == "" {
		return errors.New("--overlay needs a directory: -o DIR")
	}
	for _, name := range overlays {
		if err := checkNamespace("overlay", name); err != nil {
			return err
		}
	}
	project, _, err := load(ctx, inv, &w)
	if err != nil {
		return err
	}
	at := dir
	if !filepath.IsAbs(dir) {
		at = filepath.Join(inv.Dir, dir)
	}
	if dir != "" {
		if err := checkBase(filepath.Join(at, baseName), filepath.Join(dir, baseName), project.Name); err != nil {
			return err
		}
	}
	d := &deployment{Invocation: inv, what: w, project: project}
	isBuilt := w.build && !inv.DryRun
	d.what.planOnly, d.what.offline = !isBuilt, !isBuilt
	d.images = &images{Invocation: inv, what: &d.what, project: project}
	defer d.images.close()
	document := core.NewDocument(project, look)
	document.Publish = w.publish
	made, err := d.images.decide(ctx, document, nil)
	if err != nil {
		return err
	}
	if isBuilt {
		if err := d.images.makeAll(ctx, document, made); err != nil {
			return err
		}
	}
	set, found := document.Set(look)
	if err := d.complain(found); err != nil {
		return err
	}
	if dir == "" {
		for _, r := range set.Resources {
			for _, o := range r.Objects {
				text, err := encode(withNamespace(o, w.namespace))
				if err != nil {
					return err
				}
				fmt.Fprintf(inv.Stdout, "---\n%s", text)
			}
		}
		d.tellUnpushed(document, made)
		return nil
	}
	done, err := writeKustomize(files{inv.DryRun}, at, set, overlays)
	wrote, removed := "wrote", "removed"
	if inv.DryRun {
		wrote, removed = "would write", "would remove"
	}
	for _, name := range done.removed {
		inv.SayNotice(fmt.Sprintf("%s %s: the stack has it no more", removed, filepath.Join(dir, baseName, name)))
	}
	if err != nil {
		return err
	}
	if len(overlays) == 0 {
		overlays = overlaysOf(at)
	}
	inv.SayNotice(fmt.Sprintf("%s %s to %s: kubectl apply -k %s", wrote, spec.Plural(done.files, "file"), dir, cmp.Or(strings.Join(applied(dir, overlays), " or "), filepath.Join(dir, baseName))))
	d.tellUnpushed(document, made)
	return nil
}

// tellUnpushed names the images that a render only decided on, with what pushes them.
func (d *deployment) tellUnpushed(document *core.Document, made map[string]core.Image) {
	if text := unpushed(document, made); text != "" && !d.what.build {
		d.SayNotice(text)
	}
}

// unpushed names the images of a document that were only decided on, with what pushes them; "": there are none.
func unpushed(d *core.Document, made map[string]core.Image) string {
	var refs []string
	makes := "pushes"
	for at, image := range made {
		refs = append(refs, d.Images[at])
		if image.Action == planner.Build {
			makes = "builds and pushes"
		}
	}
	if d.Gate != "" && !isPushed(d.Gate) {
		refs = append(refs, d.Gate)
	}
	slices.Sort(refs)
	refs = slices.Compact(refs)
	if len(refs) == 0 {
		return ""
	}
	noun, pronoun := "image", "it"
	if len(refs) > 1 {
		noun, pronoun = "images", "them"
	}
	const most = 3
	if more := len(refs) - most; more > 0 {
		refs = append(refs[:most], fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("%s that this did not push: %s; where the registry lacks %s, render with --build first, which %s %s", noun, strings.Join(refs, ", "), pronoun, makes, pronoun)
}

// applied are the directories of overlays.
func applied(dir string, overlays []string) (all []string) {
	for _, name := range overlays {
		all = append(all, filepath.Join(dir, overlaysName, name))
	}
	return all
}

func withNamespace(o *manifest.Object, namespace string) map[string]any {
	if namespace == "" {
		return o.Body
	}
	body := map[string]any{}
	for key, value := range o.Body {
		body[key] = value
	}
	meta := map[string]any{"namespace": namespace}
	for key, value := range o.Body["metadata"].(map[string]any) {
		meta[key] = value
	}
	body["metadata"] = meta
	return body
}

// encode writes an object as manifests are written: what it is first.
func encode(body map[string]any) (string, error) {
	node := &yaml.Node{Kind: yaml.MappingNode}
	order := []string{"apiVersion", "kind", "metadata", "type", "immutable", "spec"}
	done := map[string]bool{}
	add := func(key string) error {
		value, has := body[key]
		if !has || done[key] {
			return nil
		}
		done[key] = true
		var v yaml.Node
		if err := v.Encode(value); err != nil {
			return fmt.Errorf("internal error: %w", err)
		}
		node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, &v)
		return nil
	}
	for _, key := range order {
		if err := add(key); err != nil {
			return "", err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(body)) {
		if err := add(key); err != nil {
			return "", err
		}
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(node); err != nil {
		return "", fmt.Errorf("internal error: %w", err)
	}
	return b.String(), nil
}
