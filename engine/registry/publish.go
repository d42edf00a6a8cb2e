package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	distribution "github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/push"
)

// memory is what a caller has sent, by digest.
type memory map[digest.Digest][]byte

func (m memory) add(d *api.Document) ocispec.Descriptor {
	desc := ocispec.Descriptor{MediaType: d.MediaType, Digest: digest.FromBytes(d.Content), Size: int64(len(d.Content))}
	m[desc.Digest] = d.Content
	return desc
}

// ReaderAt implements content.Provider.
func (m memory) ReaderAt(_ context.Context, d ocispec.Descriptor) (content.ReaderAt, error) {
	text, ok := m[d.Digest]
	if !ok {
		return nil, fmt.Errorf("%s: %w", d.Digest, errdefs.ErrNotFound)
	}
	return &held{bytes.NewReader(text)}, nil
}

type held struct{ *bytes.Reader }

func (t *held) Close() error { return nil }

// Publish implements api.RegistryServer.
func (s *Server) Publish(ctx context.Context, r *api.PublishRequest) (*api.PublishReply, error) {
	name, err := image.Normalize(r.Name)
	if err != nil {
		return nil, err
	}
	defer s.Doing("publish " + name)()
	return s.publish(ctx, name, r, s.Images.Hosts(s.Credentials(ctx, r.Session)))
}

// publish puts up an artifact in the first of its forms that the registry takes. Images that go with it are there before
// its tag: who finds that finds all of it.
func (s *Server) publish(ctx context.Context, name string, r *api.PublishRequest, hosts docker.RegistryHosts) (*api.PublishReply, error) {
	named, err := distribution.ParseNormalizedNamed(name)
	if err != nil {
		return nil, err
	}
	images, err := s.copyAll(ctx, named.Name(), r.Images, hosts)
	if err != nil {
		return nil, err
	}
	parts := memory{}
	for _, b := range r.Blobs {
		parts.add(b)
	}
	for i, m := range r.Manifests {
		root := parts.add(m)
		ref := name
		if len(images) > 0 {
			ref = named.Name() + "@" + root.Digest.String()
		}
		_, err = push.Send(ctx, push.Job{Ref: ref, Root: root, From: parts, Hosts: hosts, Beside: &s.uploads})
		if err == nil && len(images) > 0 {
			if err = referTo(ctx, named.Name(), root, images, r.Annotations, hosts); err == nil {
				err = push.SendAlone(ctx, push.Job{Ref: name, Root: root, From: parts, Hosts: hosts})
			}
			if err != nil {
				return nil, err
			}
		}
		if err == nil {
			return &api.PublishReply{Digest: root.Digest.String(), Manifest: int32(i)}, nil
		}
		if !push.IsUnknownKind(err) {
			break
		}
	}
	return nil, err
}

// copyAll puts images into a repository.
func (s *Server) copyAll(ctx context.Context, repository string, images []string, hosts docker.RegistryHosts) ([]ocispec.Descriptor, error) {
	copied := make([]ocispec.Descriptor, len(images))
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(imagesAtOnce)
	for i, from := range images {
		group.Go(func() (err error) {
			copied[i], err = s.copy(within, from, repository, hosts)
			return err
		})
	}
	return copied, group.Wait()
}

// referTo puts up an index of images that has an artifact for its subject, so that who has that finds them.
func referTo(ctx context.Context, repository string, subject ocispec.Descriptor, images []ocispec.Descriptor, annotations map[string]string, hosts docker.RegistryHosts) error {
	text, err := json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Subject: &subject,
		Manifests: images, Annotations: annotations,
	})
	if err != nil {
		return err
	}
	parts := memory{}
	root := parts.add(&api.Document{MediaType: ocispec.MediaTypeImageIndex, Content: text})
	return push.SendAlone(ctx, push.Job{Ref: repository + "@" + root.Digest.String(), Root: root, From: parts, Hosts: hosts})
}

// imagesAtOnce is how many images are put beside an artifact together.
const imagesAtOnce = 3

// copy puts an image of a registry into another repository: what is of the same registry is taken from
// there, the rest goes through the engine.
func (s *Server) copy(ctx context.Context, from, repository string, hosts docker.RegistryHosts) (ocispec.Descriptor, error) {
	name, err := image.Normalize(from)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	resolver := docker.NewResolver(docker.ResolverOptions{Hosts: hosts})
	_, found, err := resolver.Resolve(ctx, name)
	if err != nil {
		return found, image.RegistryError("cannot read "+from+": ", from, err)
	}
	fetcher, err := resolver.Fetcher(ctx, name)
	if err != nil {
		return found, image.RegistryError("cannot read "+from+": ", from, err)
	}
	named, err := distribution.ParseNormalizedNamed(name)
	if err != nil {
		return found, err
	}
	source := &remote{fetch: fetcher.Fetch, host: distribution.Domain(named), repository: distribution.Path(named)}
	_, err = push.Send(ctx, push.Job{Ref: repository + "@" + found.Digest.String(), Root: found, From: source, Hosts: hosts, Beside: &s.uploads})
	return found, err
}

// remote is an image as its registry has it.
type remote struct {
	fetch            func(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error)
	host, repository string
}

// Info implements content.InfoProvider: where the image is.
func (r *remote) Info(_ context.Context, d digest.Digest) (content.Info, error) {
	return content.Info{Digest: d, Labels: map[string]string{push.SourceLabel(r.host): r.repository}}, nil
}

// ReaderAt implements content.Provider.
func (r *remote) ReaderAt(ctx context.Context, d ocispec.Descriptor) (content.ReaderAt, error) {
	if (images.IsManifestType(d.MediaType) || images.IsIndexType(d.MediaType)) && d.Size > docker.MaxManifestSize {
		return nil, fmt.Errorf("its manifest has %d bytes, more than the %d that one may have", d.Size, int64(docker.MaxManifestSize))
	}
	return &reading{fetch: func() (io.ReadCloser, error) { return r.fetch(ctx, d) }, size: d.Size}, nil
}

// Resolve implements api.RegistryServer.
func (s *Server) Resolve(ctx context.Context, r *api.ResolveRequest) (*api.ResolveReply, error) {
	hosts := s.Images.Hosts(s.Credentials(ctx, r.Session))
	digests, failed := make([]string, len(r.Names)), make([]error, len(r.Names))
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(resolvedAtOnce)
	for i, ref := range r.Names {
		group.Go(func() error {
			name, err := image.Normalize(ref)
			if err != nil {
				return err
			}
			_, found, err := docker.NewResolver(docker.ResolverOptions{Hosts: hosts}).Resolve(within, name)
			if err != nil {
				failed[i] = image.RegistryError("its digest cannot be looked up: ", ref, err)
				return context.Cause(within)
			}
			digests[i] = found.Digest.String()
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	reply := &api.ResolveReply{Digests: map[string]string{}, Failed: map[string]string{}}
	for i, ref := range r.Names {
		if failed[i] != nil {
			reply.Failed[ref] = failed[i].Error()
			continue
		}
		reply.Digests[ref] = digests[i]
	}
	return reply, nil
}

// resolvedAtOnce is how many registries are asked together.
const resolvedAtOnce = 8
