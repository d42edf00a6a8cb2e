// Package bake writes the builds of a stack as a file of docker buildx bake.
package bake

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/spec"
)

// file is a file of docker buildx bake, as Compose's build --print writes it.
type file struct {
	Groups  map[string]group  `json:"group"`
	Targets map[string]target `json:"target"`
}

type group struct {
	Targets []string `json:"targets"`
}

type target struct {
	Context          string            `json:"context,omitempty"`
	Contexts         map[string]string `json:"contexts,omitempty"`
	Dockerfile       string            `json:"dockerfile,omitempty"`
	DockerfileInline string            `json:"dockerfile-inline,omitempty"`
	Args             map[string]string `json:"args,omitempty"`
	Labels           map[string]string `json:"labels,omitempty"`
	Tags             []string          `json:"tags,omitempty"`
	CacheFrom        []string          `json:"cache-from,omitempty"`
	CacheTo          []string          `json:"cache-to,omitempty"`
	Target           string            `json:"target,omitempty"`
	Secrets          []string          `json:"secret,omitempty"`
	SSH              []string          `json:"ssh,omitempty"`
	Platforms        []string          `json:"platforms,omitempty"`
	Pull             bool              `json:"pull,omitempty"`
	NoCache          bool              `json:"no-cache,omitempty"`
	NetworkMode      string            `json:"network,omitempty"`
	NoCacheFilter    []string          `json:"no-cache-filter,omitempty"`
	ShmSize          int64             `json:"shm-size,omitempty"`
	Ulimits          []string          `json:"ulimits,omitempty"`
	Entitlements     []string          `json:"entitlements,omitempty"`
	ExtraHosts       map[string]string `json:"extra-hosts,omitempty"`
	Outputs          []string          `json:"output,omitempty"`
	Attest           []string          `json:"attest,omitempty"`
}

// Print prints the builds of services, or of all.
func Print(ctx context.Context, inv *cli.Invocation, services []string, o cli.BuildOptions, withDeps bool) error {
	opts := inv.Options(services)
	opts.Only, opts.NoDeps, opts.ImagesOnly, opts.SpareContents = true, !withDeps, true, true
	project, err := inv.LoadNamed(ctx, opts)
	if err != nil {
		return err
	}
	chosen, err := project.Select(services, !withDeps)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(inv.Stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(fileOf(project, chosen, o))
}

// fileOf are the builds of a project; those of the chosen services are its default group.
func fileOf(p, chosen *spec.Project, o cli.BuildOptions) file {
	f := file{Groups: map[string]group{}, Targets: map[string]target{}}
	names, byDefault := targetNames(p), group{Targets: []string{}}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		if p.Services[name].Build == nil {
			continue
		}
		f.Targets[names[name]] = targetOf(p, name, names, o)
		if chosen.Services[name] != nil {
			byDefault.Targets = append(byDefault.Targets, names[name])
		}
	}
	f.Groups["default"] = byDefault
	return f
}

// targetNames are the names of targets, by service: a point is none of theirs.
func targetNames(p *spec.Project) map[string]string {
	names, used := map[string]string{}, map[string]bool{}
	for _, service := range slices.Sorted(maps.Keys(p.Services)) {
		name := strings.ReplaceAll(service, ".", "_")
		for used[name] {
			name += "_"
		}
		names[service], used[name] = name, true
	}
	return names
}

func targetOf(p *spec.Project, service string, names map[string]string, o cli.BuildOptions) target {
	s := p.Services[service]
	b := o.Over.Build(s.Build)
	t := target{
		Context: b.Context, DockerfileInline: strings.ReplaceAll(b.DockerfileInline, "${", "$${"), Labels: b.Labels,
		Tags: append(slices.Clone(b.Tags), p.ImageName(service)), CacheFrom: b.CacheFrom, CacheTo: b.CacheTo, Target: b.Target,
		Platforms: b.Platforms, Pull: b.Pull || o.Pull, NoCache: b.NoCache || o.NoCache, NetworkMode: b.Network, NoCacheFilter: b.NoCacheFilter,
		ShmSize: int64(b.ShmSize), Entitlements: b.Granted(), Contexts: map[string]string{}, Args: map[string]string{}, ExtraHosts: map[string]string{},
		Outputs: []string{"type=docker"},
	}
	if len(b.Platforms) > 1 {
		t.Outputs = []string{"type=image,push=false"}
	}
	if t.Dockerfile = b.Dockerfile; t.Dockerfile != "" && !filepath.IsAbs(t.Dockerfile) && !spec.IsRemote(b.Context) {
		t.Dockerfile = filepath.Join(b.Context, t.Dockerfile)
	}
	for name, from := range b.AdditionalContexts {
		if other, ok := strings.CutPrefix(from, "service:"); ok {
			from = "target:" + names[other]
		}
		t.Contexts[name] = from
	}
	for _, given := range []map[string]*string{b.Args, o.Args} {
		for name, value := range given {
			if value != nil {
				t.Args[name] = strings.ReplaceAll(*value, "${", "$${")
			}
		}
	}
	for _, host := range b.ExtraHosts {
		name, address, _ := strings.Cut(host, "=")
		if before := t.ExtraHosts[name]; before != "" {
			address = before + "," + address
		}
		t.ExtraHosts[name] = address
	}
	t.Secrets, t.SSH, t.Ulimits = secretsOf(p, b), sshOf(b), ulimitsOf(b)
	t.Attest = slices.Concat(attestOf("provenance", b.Provenance), attestOf("sbom", b.SBOM))
	return t
}

func secretsOf(p *spec.Project, b *spec.Build) (out []string) {
	for _, use := range b.Secrets {
		secret, id := p.Secrets[use.Source], cmp.Or(use.Target, use.Source)
		switch {
		case secret == nil:
		case secret.Environment != "":
			out = append(out, fmt.Sprintf("id=%s,type=env,env=%s", id, secret.Environment))
		case secret.File != "":
			out = append(out, fmt.Sprintf("id=%s,type=file,src=%s", id, secret.File))
		}
	}
	return out
}

func sshOf(b *spec.Build) (out []string) {
	for _, id := range slices.Sorted(maps.Keys(b.SSH)) {
		path := ""
		if b.SSH[id] != nil {
			path = *b.SSH[id]
		}
		out = append(out, id+"="+path)
	}
	return out
}

func ulimitsOf(b *spec.Build) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(b.Ulimits)) {
		u := b.Ulimits[name]
		if u.Single > 0 {
			out = append(out, fmt.Sprintf("%s=%d", name, u.Single))
		} else {
			out = append(out, fmt.Sprintf("%s=%d:%d", name, u.Soft, u.Hard))
		}
	}
	return out
}

func attestOf(kind, value string) []string {
	switch value {
	case "":
		return nil
	case "true":
		return []string{"type=" + kind}
	case "false":
		return []string{"type=" + kind + ",disabled=true"}
	}
	return []string{"type=" + kind + "," + value}
}
