// Package deploy carries a project out on a Kubernetes cluster: it makes a plan of what the project wants and of
// what is there, with the reasons in the words of the stack file, and carries its steps out. What it
// deploys it keeps as revisions in the cluster. It knows neither engine nor terminal.
package deploy

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/orlop/orlop/deploy/manifest"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// Document is all that decides about the objects of a project. The cluster keeps it as a revision, so that
// a plan can name the fields that changed and a rollback can make the objects again.
type Document struct {
	Project  *spec.Project                `json:"project"`
	Own      map[string]any               `json:"own,omitempty"`      // x-orlop, by "services.NAME", "jobs.NAME" and "volumes.NAME"
	Files    map[string]File              `json:"files,omitempty"`    // contents of secrets and configs by "secrets.NAME", of mounted files by their paths
	Images   map[string]string            `json:"images,omitempty"`   // references by digest, by "services.NAME"
	Named    map[string]string            `json:"named,omitempty"`    // by which names those were found
	Inputs   map[string]*planner.Inputs   `json:"inputs,omitempty"`   // of builds, by service
	Checks   map[string]*spec.HealthCheck `json:"checks,omitempty"`   // of images, by service
	Restarts map[string]int               `json:"restarts,omitempty"` // revisions that replaced the pods of services although nothing had changed
	Publish  string                       `json:"publish,omitempty"`
	Deadline int64                        `json:"deadline,omitempty"` // see manifest.Options
	Gate     string                       `json:"gate,omitempty"`
}

// File is a content that the objects have.
type File struct {
	Mode    uint32 `json:"mode,omitempty"`
	Content []byte `json:"content"`
	Secret  bool   `json:"secret,omitempty"`
}

// NewDocument is the document of a project that has no images yet. look finds out about files that services mount.
func NewDocument(p *spec.Project, look func(path string) (*manifest.File, error)) *Document {
	d := &Document{Project: p, Own: map[string]any{}, Files: map[string]File{}, Images: map[string]string{}, Named: map[string]string{}, Inputs: map[string]*planner.Inputs{}, Checks: map[string]*spec.HealthCheck{}}
	own := func(path string, extensions map[string]any) {
		if v := extensions["x-orlop"]; v != nil {
			d.Own[path] = v
		}
	}
	keep := func(s *spec.Service) {
		for _, m := range manifest.Mounts(p, s) {
			if m.Type != spec.MountBind {
				continue
			}
			if f, err := look(m.Source); err == nil && f.Mode.IsRegular() && f.Content != nil {
				d.Files[m.Source] = File{Mode: uint32(f.Mode.Perm()), Content: f.Content}
			}
		}
	}
	for name, s := range p.Services {
		own("services."+name, s.Extensions)
		keep(s)
	}
	for name, s := range p.Jobs {
		own("jobs."+name, s.Extensions)
		keep(s)
	}
	for name, v := range p.Volumes {
		own("volumes."+name, v.Extensions)
	}
	for path, payload := range p.Payloads {
		d.Files[path] = File{Content: payload.Content, Secret: payload.Secret}
	}
	return d
}

// options are those of the manifest.
func (d *Document) options(look func(path string) (*manifest.File, error)) manifest.Options {
	return manifest.Options{Images: d.Images, Checks: d.Checks, Restarts: d.Restarts, Deadline: d.Deadline, Publish: d.Publish, Gate: d.Gate, File: look}
}

// Set makes the objects, with the mistakes of the stack file. look is nil for a document out of a revision.
func (d *Document) Set(look func(path string) (*manifest.File, error)) (*manifest.Set, spec.Diagnostics) {
	if look == nil {
		look = func(path string) (*manifest.File, error) {
			f, ok := d.Files[path]
			if !ok {
				return nil, fmt.Errorf("%s was not kept", path)
			}
			return &manifest.File{Mode: modeOf(f.Mode), Content: f.Content}, nil
		}
	}
	return manifest.Build(d.Project, d.options(look))
}

// withImages is the document with some images in place of its own.
func (d *Document) withImages(images map[string]string) *Document {
	out := *d
	out.Images = maps.Clone(d.Images)
	maps.Copy(out.Images, images)
	return &out
}

// largest names the largest file that the revision has, with its size.
func (d *Document) largest() string {
	var at string
	for _, path := range slices.Sorted(maps.Keys(d.Files)) {
		if at == "" || len(d.Files[path].Content) > len(d.Files[at].Content) {
			at = path
		}
	}
	if at == "" {
		return "none"
	}
	return fmt.Sprintf("%s (%d KB)", at, len(d.Files[at].Content)>>10)
}

// maxNamed is how many files of a build a revision names.
const maxNamed = 500

// Encode writes the document, packed.
func (d *Document) Encode() ([]byte, error) {
	out := *d
	out.Inputs = map[string]*planner.Inputs{}
	for name, in := range d.Inputs {
		kept := *in
		if len(kept.Files) > maxNamed {
			kept.Files = nil
		}
		out.Inputs[name] = &kept
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := json.NewEncoder(z).Encode(&out); err != nil {
		return nil, fmt.Errorf("internal error: cannot write the revision: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("internal error: cannot write the revision: %w", err)
	}
	return b.Bytes(), nil
}

// maxDocument bounds what is unpacked of a revision.
const maxDocument = 64 << 20

// DecodeDocument reads what Encode wrote.
func DecodeDocument(data []byte) (*Document, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("the revision is damaged: %w", err)
	}
	var d Document
	if err := json.NewDecoder(io.LimitReader(z, maxDocument)).Decode(&d); err != nil {
		return nil, fmt.Errorf("the revision is damaged: %w", err)
	}
	if d.Project == nil {
		return nil, fmt.Errorf("the revision is damaged: it has no project")
	}
	d.restore()
	return &d, nil
}

// restore gives the project what its JSON leaves out.
func (d *Document) restore() {
	p := d.Project
	p.Payloads = map[string]spec.Payload{}
	for path, f := range d.Files {
		p.Payloads[path] = spec.Payload{Content: f.Content, Secret: f.Secret}
	}
	give := func(path string, extensions *map[string]any) {
		if v := d.Own[path]; v != nil {
			*extensions = map[string]any{"x-orlop": v}
		}
	}
	for name, s := range p.Services {
		s.Name = name
		give("services."+name, &s.Extensions)
	}
	for name, s := range p.Jobs {
		s.Name = name
		give("jobs."+name, &s.Extensions)
	}
	for name, v := range p.Volumes {
		give("volumes."+name, &v.Extensions)
	}
}

// Restart has the pods of a service replaced by a revision.
func (d *Document) Restart(service string, revision int) {
	d.Restarts = maps.Clone(d.Restarts)
	if d.Restarts == nil {
		d.Restarts = map[string]int{}
	}
	d.Restarts[service] = revision
}
