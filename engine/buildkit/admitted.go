package buildkit

import (
	"context"
	"strings"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/source"
	"github.com/moby/buildkit/source/containerblob"
	"github.com/moby/buildkit/source/containerimage"
	srctypes "github.com/moby/buildkit/source/types"
	"github.com/moby/buildkit/worker/base"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Admit is an error where an image may not be used by the builds of some sessions.
type Admit func(ctx context.Context, sessions []string, name string, root digest.Digest, platform *ocispec.Platform) error

// admittedImages are the images that builds take something from. What one consists of is known when its key is: its
// layers are fetched behind that, when a step wants their files.
type admittedImages struct {
	*containerimage.Source
	admit Admit
}

// Resolve implements source.Source.
func (s admittedImages) Resolve(ctx context.Context, id source.Identifier, sm *session.Manager, vtx solver.Vertex) (source.SourceInstance, error) {
	instance, err := s.Source.Resolve(ctx, id, sm, vtx)
	img, ok := id.(*containerimage.ImageIdentifier)
	if err != nil || !ok {
		return instance, err
	}
	return admittedSource{instance, img.Reference.String(), img.Platform, s.admit}, nil
}

// admittedBlobs are single blobs that builds take from registries: the files of images, by another scheme. The repository
// is asked for by its name, and a signature of the blob itself is all that counts.
type admittedBlobs struct {
	*containerblob.Source
	admit Admit
}

// Resolve implements source.Source.
func (s admittedBlobs) Resolve(ctx context.Context, id source.Identifier, sm *session.Manager, vtx solver.Vertex) (source.SourceInstance, error) {
	instance, err := s.Source.Resolve(ctx, id, sm, vtx)
	blob, ok := id.(*containerblob.ImageBlobIdentifier)
	if err != nil || !ok || blob.Scheme() != srctypes.DockerImageBlobScheme { // else it is the client's own
		return instance, err
	}
	return admittedSource{instance, blob.Reference.String(), nil, s.admit}, nil
}

type admittedSource struct {
	source.SourceInstance
	name     string
	platform *ocispec.Platform
	admit    Admit
}

// CacheKey implements source.SourceInstance.
func (i admittedSource) CacheKey(ctx context.Context, job solver.JobContext, index int) (key, pin string, opts solver.CacheOpts, done bool, err error) {
	if key, pin, opts, done, err = i.SourceInstance.CacheKey(ctx, job, index); err != nil {
		return key, pin, opts, done, err
	}
	if err := i.admit(ctx, sessionsOf(job), i.name, digest.Digest(pin), i.platform); err != nil {
		return "", "", nil, false, err
	}
	return key, pin, opts, done, nil
}

// sessionsOf are the callers' sessions of a build, which several may share.
func sessionsOf(job solver.JobContext) (ids []string) {
	if job == nil {
		return nil
	}
	return idsOf(job.Session())
}

func idsOf(group session.Group) (ids []string) {
	if group == nil {
		return nil
	}
	for it := group.SessionIterator(); ; {
		id := it.NextSession()
		if id == "" {
			return ids
		}
		ids = append(ids, id)
	}
}

// admittedWorker is asked what an image is, by the name that a build gives it, before the build names it by a digest.
type admittedWorker struct {
	*base.Worker
	admit Admit
}

// ResolveSourceMetadata implements worker.Worker.
func (w admittedWorker) ResolveSourceMetadata(ctx context.Context, op *pb.SourceOp, opt sourceresolver.Opt, sm *session.Manager, job solver.JobContext) (*sourceresolver.MetaResponse, error) {
	found, err := w.Worker.ResolveSourceMetadata(ctx, op, opt, sm, job)
	name, isImage := strings.CutPrefix(op.GetIdentifier(), srctypes.DockerImageScheme+"://")
	if err != nil || !isImage || found.Image == nil {
		return found, err
	}
	var platform *ocispec.Platform
	if opt.ImageOpt != nil {
		platform = opt.ImageOpt.Platform
	}
	return found, w.admit(ctx, sessionsOf(job), name, found.Image.Digest, platform)
}
