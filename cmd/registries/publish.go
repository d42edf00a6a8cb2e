package registries

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	distribution "github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gopkg.in/yaml.v3"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// The media types and annotations of a stack that is published, which are Compose's (its
// internal/oci): cmd/remote reads them.
const (
	projectType     = "application/vnd.docker.compose.project"
	emptyConfigType = "application/vnd.docker.compose.config.empty.v1+json" // of registries that know no artifact types
	stackFileType   = "application/vnd.docker.compose.file+yaml"
	envFileType     = "application/vnd.docker.compose.envfile"

	fileAnnotation     = "com.docker.compose.file"
	envAnnotation      = "com.docker.compose.envfile"
	extendsAnnotation  = "com.docker.compose.extends"
	versionAnnotation  = "com.docker.compose.version"
	imageDigests       = "image-digests.yaml"
	oci10              = "1.0"
	oci11              = "1.1"
	createdAnnotation  = "org.opencontainers.image.created"
	versionOfPublished = "v5.6.0" // of the Compose whose format it is
)

// PublishFlags are those of publish.
type PublishFlags struct {
	App            bool   // with the images
	ResolveDigests bool   // images are named by their digests
	WithEnv        bool   // with environment files
	OCIVersion     string // "1.0", "1.1", or "" for what the registry takes
	Yes            bool
}

// Publish puts a stack into a registry, from where it can be run as oci://NAME.
func Publish(ctx context.Context, inv *cli.Invocation, client *api.Client, project *spec.Project, name string, f PublishFlags) error {
	named, err := distribution.ParseDockerRef(name)
	if err != nil {
		return fmt.Errorf("%q is no name of a repository (%w): write REGISTRY/NAME:TAG", name, err)
	}
	if _, isPinned := named.(distribution.Digested); isPinned {
		return fmt.Errorf("%s has a digest, which is that of what is published: write a tag", name)
	}
	if err := mustHaveImages(project); err != nil {
		return err
	}
	variables := inv.Variables(ctx)
	a, err := gather(project, func(name string) (string, bool) { v, ok := variables[name]; return v, ok })
	if err != nil {
		return err
	}
	if f.WithEnv {
		if err := a.withEnvironment(); err != nil {
			return err
		}
	}
	a.findings.binds(project)
	if err := mayPublish(ctx, inv, a.findings.lines(f.WithEnv), f.Yes); err != nil {
		return err
	}
	images, _ := imagesOf(project, Pushing{})
	if inv.DryRun {
		for _, image := range images {
			fmt.Fprintf(inv.Stdout, " ~ push %s\n", image.Name)
		}
		_, err := fmt.Fprintf(inv.Stdout, " + artifact %s\n", named)
		return err
	}
	if len(images) > 0 {
		words := display.Words{Done: "has its images pushed", Failed: "is not published"}
		req := &api.PushRequest{Of: project.Name, Images: images, IgnoreFailures: true, Limit: int32(inv.Parallel)}
		if err := push(ctx, inv, client, project, req, words); err != nil {
			return err
		}
	}
	return withLogins(ctx, inv, client, project, func(session string, lend func(*planner.Plan) error) error {
		if lend != nil {
			if err := lend(&planner.Plan{Steps: []*planner.Step{{}}}); err != nil {
				return err
			}
		}
		return send(ctx, inv, client, project, a, named.String(), session, f)
	})
}

// noBuild is the flag that a stack is run with whose sources are not published.
func noBuild(p *spec.Project) string {
	for _, s := range p.Services {
		if s.Build != nil {
			return " --no-build"
		}
	}
	return ""
}

// MustBePlain refuses a registry that the engine, which sends what is published, would not reach without TLS.
func MustBePlain(ctx context.Context, inv *cli.Invocation, client *api.Client, name string) error {
	named, err := distribution.ParseDockerRef(name)
	if err != nil {
		return fmt.Errorf("%q is no name of a repository (%w): write REGISTRY/NAME:TAG", name, err)
	}
	host := distribution.Domain(named)
	if is, err := docker.MatchLocalhost(host); is || err != nil {
		return err
	}
	status, err := inv.Greet(ctx, client)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	if !slices.Contains(status.PlainRegistries, host) {
		return fmt.Errorf("the engine reaches %s with TLS: write \"http: true\" for it in engine.yaml (docs/engine.md, Settings)", host)
	}
	return nil
}

// mustHaveImages refuses what nobody else could run.
func mustHaveImages(p *spec.Project) error {
	var errs []error
	for _, services := range []map[string]*spec.Service{p.Services, p.Jobs} {
		for name, s := range sorted(services) {
			if s.Build != nil && s.Image == "" {
				errs = append(errs, fmt.Errorf("%s has build: and no image:, so nobody else could run it: write image: beside it, with the registry that its image is pushed to", name))
			}
		}
	}
	return errors.Join(errs...)
}

// binds notes the bind mounts of a project: what stands at their paths elsewhere is another's.
func (f *findings) binds(p *spec.Project) {
	for kind, services := range map[string]map[string]*spec.Service{"services": p.Services, "jobs": p.Jobs} {
		for name, s := range sorted(services) {
			for _, m := range s.Volumes {
				if m.Type == spec.MountBind {
					f.all = append(f.all, fmt.Sprintf("%s.%s mounts %s of this machine at %s", kind, name, m.Source, m.Target))
				}
			}
		}
	}
}

// mayPublish shows what somebody should look at, and asks.
func mayPublish(ctx context.Context, inv *cli.Invocation, findings []string, yes bool) error {
	if len(findings) == 0 {
		return nil
	}
	if !inv.IsSilent() || !yes { // what is not published is a failure, and this is why
		for _, text := range findings {
			fmt.Fprintln(inv.Stderr, inv.ErrStyle().Yellow(" ! "+display.Printable(text)))
		}
	}
	if yes {
		return nil
	}
	isMeant, isAnswered := false, false
	if !inv.IsSilent() {
		var err error
		if isMeant, isAnswered, err = inv.Ask(ctx, "Publish it all the same?"); err != nil {
			return err
		}
	}
	switch {
	case !isAnswered:
		return errors.New("not published: everybody who may read the artifact would see what is listed above: look at it, and say --yes (or --with-env for the environment)")
	case !isMeant:
		return cli.Coded{Err: errors.New("not published"), Code: cli.ExitInterrupted}
	}
	return nil
}

// send makes the artifact and has the engine send it.
func send(ctx context.Context, inv *cli.Invocation, client *api.Client, project *spec.Project, a *artifact, name, session string, f PublishFlags) error {
	req := &api.PublishRequest{Name: name, Session: session}
	if f.ResolveDigests || f.App {
		text, pinned, err := PinnedImages(ctx, inv, client, project)
		if err != nil {
			return err
		}
		a.files = append(a.files, published{stackFile, imageDigests, text})
		if f.App {
			req.Images, req.Annotations = pinned, map[string]string{versionAnnotation: versionOfPublished}
		}
	}
	layers := make([]ocispec.Descriptor, 0, len(a.files))
	for _, file := range a.files {
		layer := layerOf(file)
		layers = append(layers, layer)
		req.Blobs = append(req.Blobs, &api.Document{MediaType: layer.MediaType, Content: file.content})
	}
	req.Blobs = append(req.Blobs, &api.Document{MediaType: ocispec.MediaTypeEmptyJSON, Content: ocispec.DescriptorEmptyJSON.Data})
	versions := []string{oci11, oci10}
	if f.OCIVersion != "" {
		versions = []string{f.OCIVersion}
	}
	for _, v := range versions {
		text, err := json.Marshal(manifestOf(layers, v, inv.Now().UTC().Format("2006-01-02T15:04:05Z")))
		if err != nil {
			return err
		}
		req.Manifests = append(req.Manifests, &api.Document{MediaType: ocispec.MediaTypeImageManifest, Content: text})
	}
	reply, err := client.Registry.Publish(ctx, req)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	if versions[reply.Manifest] != versions[0] && !inv.IsSilent() {
		inv.SayNotice("the registry takes no artifacts of OCI 1.1: it is published in the form of 1.0")
	}
	if !inv.IsSilent() {
		fmt.Fprintf(inv.Stderr, " %s %s is published: run it with orlop -f oci://%s up%s\n", inv.ErrStyle().Green("✓"), project.Name, name, noBuild(project))
	}
	fmt.Fprintln(inv.Stdout, name+"@"+reply.Digest)
	return nil
}

func layerOf(f published) ocispec.Descriptor {
	d := ocispec.Descriptor{
		MediaType: stackFileType, Digest: digest.FromBytes(f.content), Size: int64(len(f.content)),
		Annotations: map[string]string{versionAnnotation: versionOfPublished, fileAnnotation: f.name},
	}
	switch f.kind {
	case envFile:
		d.MediaType = envFileType
		d.Annotations = map[string]string{versionAnnotation: versionOfPublished, envAnnotation: f.name}
	case extendedFile:
		d.Annotations[extendsAnnotation] = "true"
	}
	return d
}

// manifestOf is that of an artifact (OCI image-spec, "Guidelines for Artifact Usage").
func manifestOf(layers []ocispec.Descriptor, version, created string) ocispec.Manifest {
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: projectType,
		Config: ocispec.DescriptorEmptyJSON, Layers: layers, Annotations: map[string]string{createdAnnotation: created},
	}
	if version == oci10 {
		m.ArtifactType, m.Config.MediaType = "", emptyConfigType
	}
	return m
}

// PinImages names the images of a project by their digests, as their registries have them now.
func PinImages(ctx context.Context, inv *cli.Invocation, client *api.Client, p *spec.Project) error {
	digests, failed, err := inv.Resolve(ctx, client, p, imagesIn(p))
	if err != nil {
		return err
	}
	for _, why := range sorted(failed) {
		return errors.New(why)
	}
	for _, services := range []map[string]*spec.Service{p.Services, p.Jobs} {
		for _, s := range services {
			if s.Image == "" {
				continue
			}
			if s.Image, err = Pinned(s.Image, digests[s.Image]); err != nil {
				return err
			}
		}
	}
	return nil
}

// imagesIn are the images of services and jobs.
func imagesIn(p *spec.Project) (refs []string) {
	for _, services := range []map[string]*spec.Service{p.Services, p.Jobs} {
		for _, s := range services {
			if s.Image != "" {
				refs = append(refs, s.Image)
			}
		}
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

// PinnedImages is a stack file that names the images of a project by their digests, as PinImages does, and these
// names.
func PinnedImages(ctx context.Context, inv *cli.Invocation, client *api.Client, p *spec.Project) (text []byte, pinned []string, err error) {
	if err := PinImages(ctx, inv, client, p); err != nil {
		return nil, nil, err
	}
	doc := map[string]map[string]map[string]string{}
	for kind, services := range map[string]map[string]*spec.Service{"services": p.Services, "jobs": p.Jobs} {
		for name, s := range services {
			if s.Image == "" {
				continue
			}
			if doc[kind] == nil {
				doc[kind] = map[string]map[string]string{}
			}
			doc[kind][name] = map[string]string{"image": s.Image}
			pinned = append(pinned, s.Image)
		}
	}
	slices.Sort(pinned)
	text, err = yaml.Marshal(doc)
	return text, slices.Compact(pinned), err
}

// Pinned is a reference with the digest that its registry gives for it; the tag stays, for who reads it. One that
// has a digest is as it was.
func Pinned(ref, sum string) (string, error) {
	named, err := distribution.ParseDockerRef(ref)
	if err != nil {
		return "", fmt.Errorf("%q is not an image reference: %w", ref, err)
	}
	if _, isPinned := named.(distribution.Digested); isPinned {
		return named.String(), nil
	}
	pinned, err := distribution.WithDigest(named, digest.Digest(sum))
	if err != nil {
		return "", fmt.Errorf("the registry gives the digest %q for %s: %w", sum, ref, err)
	}
	return pinned.String(), nil
}
