// Package push sends images and other artifacts to registries by the OCI Distribution
// Specification ("Push"): what the registry lacks, several blobs at once, and over cuts and
// refusals that pass. It knows no image store and no plan; where a registry is reached, and with
// which login, is told to it.
package push

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// atOnce is how many blobs of one push are under way together.
const atOnce = 5

// Job is what is sent where.
type Job struct {
	Ref   string             // whole: registry, repository, and a tag or a digest
	Root  ocispec.Descriptor // a manifest or an index
	From  content.Provider   // has Root and all that it refers to
	Hosts docker.RegistryHosts
	// Beside are the pushes that are under way: of a blob that two of them have, the second lets the
	// first one go ahead, and takes it from there. It may be nil.
	Beside *Uploads
	// Progress is told how many bytes of those that the registry has to have are there, and
	// what is waited for; it may be nil.
	Progress func(current, total int64, doing string)
}

// Sent is what a push has done.
type Sent struct {
	Blobs   int   // that were sent
	Bytes   int64 // of them
	Mounted int   // blobs that the registry took from another repository
	IsThere bool  // the reference pointed to it already
}

// sending is one push.
type sending struct {
	job  Job
	repo *repository

	alone bool // the document without what it refers to

	mu    sync.Mutex
	have  int64     // guarded by mu: bytes that are there
	total int64     // guarded by mu
	doing string    // guarded by mu
	said  string    // guarded by mu: what Progress was told of that
	told  time.Time // guarded by mu: when Progress was told last
	sent  Sent      // guarded by mu
}

// tellEvery is how often Progress is told of bytes.
const tellEvery = 100 * time.Millisecond

// Send sends what the registry lacks, and names it. Errors say what to do.
func Send(ctx context.Context, job Job) (Sent, error) { return sendAt(ctx, job, worlds()) }

// SendAlone sends one document, and nothing of what it refers to: that is there.
func SendAlone(ctx context.Context, job Job) error {
	s := &sending{job: job, alone: true}
	err := s.send(ctx, worlds())
	if err != nil {
		err = inWords(job.Ref, s.repo, err)
	}
	return err
}

func sendAt(ctx context.Context, job Job, way pace) (Sent, error) {
	s := &sending{job: job}
	err := s.send(ctx, way)
	if err != nil {
		err = inWords(job.Ref, s.repo, err)
	}
	return s.sent, err
}

func (s *sending) send(ctx context.Context, way pace) (err error) {
	spec, err := reference.Parse(s.job.Ref)
	if err != nil {
		return err
	}
	if ctx, err = docker.ContextWithRepositoryScope(ctx, spec, true); err != nil {
		return err
	}
	if s.repo, err = openRepository(spec, s.job.Hosts, way); err != nil {
		return err
	}
	s.repo.waits = s.wait
	all, err := s.collect(ctx)
	if err != nil {
		return err
	}
	target := targetOf(spec, s.job.Root.Digest)
	if there, err := s.repo.manifest(ctx, target, s.job.Root); err != nil {
		return err
	} else if there {
		s.sent.IsThere = true
		return nil
	}
	if err := s.sendBlobs(ctx, all.blobs); err != nil {
		return err
	}
	for _, d := range all.documents { // what refers to others comes after them
		tag := d.Digest.String()
		if d.Digest == s.job.Root.Digest {
			tag = target
		}
		if err := s.repo.putManifest(ctx, tag, d.Descriptor, d.content); err != nil {
			return err
		}
		s.label(ctx, d.Descriptor)
	}
	return nil
}

// targetOf is the tag that a reference has, or the digest.
func targetOf(spec reference.Spec, root digest.Digest) string {
	tag, _, _ := strings.Cut(spec.Object, "@")
	if tag == "" {
		return root.String()
	}
	return tag
}

// document is a manifest or an index.
type document struct {
	ocispec.Descriptor
	content []byte
}

// graph is what a push consists of, each thing once.
type graph struct {
	blobs     []ocispec.Descriptor
	documents []document // each after those that it refers to
	seen      map[digest.Digest]bool
}

func (s *sending) collect(ctx context.Context) (*graph, error) {
	g := &graph{seen: map[digest.Digest]bool{}}
	if s.alone {
		text, err := content.ReadBlob(ctx, s.job.From, s.job.Root)
		g.documents = []document{{s.job.Root, text}}
		return g, err
	}
	return g, g.add(ctx, s.job.From, s.job.Root)
}

// parts are what a manifest or an index refers to.
type parts struct {
	Config    *ocispec.Descriptor  `json:"config"`
	Layers    []ocispec.Descriptor `json:"layers"`
	Manifests []ocispec.Descriptor `json:"manifests"`
}

func (g *graph) add(ctx context.Context, from content.Provider, d ocispec.Descriptor) error {
	if g.seen[d.Digest] {
		return nil
	}
	g.seen[d.Digest] = true
	if !images.IsManifestType(d.MediaType) && !images.IsIndexType(d.MediaType) {
		g.blobs = append(g.blobs, d)
		return nil
	}
	text, err := content.ReadBlob(ctx, from, d)
	if errdefs.IsNotFound(err) {
		return &absentError{d}
	}
	if err != nil {
		return err
	}
	var p parts
	if err := json.Unmarshal(text, &p); err != nil {
		return fmt.Errorf("its manifest %s is not valid: %w", d.Digest, err)
	}
	refers := append(p.Manifests, p.Layers...)
	if p.Config != nil && images.IsManifestType(d.MediaType) {
		refers = append(refers, *p.Config)
	}
	for _, part := range refers {
		if images.IsNonDistributable(part.MediaType) {
			continue // who pulls it gets it elsewhere
		}
		if err := g.add(ctx, from, part); err != nil {
			return err
		}
	}
	g.documents = append(g.documents, document{d, text})
	return nil
}

// absentError is something that an image refers to and that is not here.
type absentError struct{ ocispec.Descriptor }

func (e *absentError) Error() string {
	return fmt.Sprintf("%s of it is not here: pull or build it again", e.Digest)
}

func (s *sending) sendBlobs(ctx context.Context, blobs []ocispec.Descriptor) error {
	for _, b := range blobs {
		s.total += b.Size
	}
	s.tell()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, b := range blobs {
		group.Go(func() error { return s.blob(ctx, b) })
	}
	return group.Wait()
}

// blob sees that the registry has a blob.
func (s *sending) blob(ctx context.Context, d ocispec.Descriptor) error {
	there, err := s.repo.has(ctx, "blobs", d)
	if err == nil && !there {
		var waited bool
		var done func()
		if waited, done, err = s.job.Beside.enter(ctx, s.repo.host.Host+" "+d.Digest.String()); err != nil {
			return err
		}
		defer done()
		if waited {
			there, err = s.repo.has(ctx, "blobs", d)
		}
	}
	if err != nil {
		return err
	}
	if there {
		s.add(d.Size)
		s.label(ctx, d)
		return nil
	}
	u := &upload{repo: s.repo, from: s.job.From, desc: d, counts: s.add}
	mounted, err := u.begin(ctx, s.sourceOf(ctx, d))
	if err != nil {
		return err
	}
	if mounted {
		s.add(d.Size)
	} else if err := u.send(ctx); err != nil {
		return err
	}
	s.label(ctx, d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if mounted {
		s.sent.Mounted++
		return nil
	}
	s.sent.Blobs++
	s.sent.Bytes += d.Size
	return nil
}

// add counts bytes that are there, or are not after all.
func (s *sending) add(bytes int64) {
	s.mu.Lock()
	s.have += bytes
	s.mu.Unlock()
	s.tell()
}

// wait tells of a pause, and of its end.
func (s *sending) wait(text string) {
	s.mu.Lock()
	s.doing = text
	s.mu.Unlock()
	s.tell()
}

func (s *sending) tell() {
	if s.job.Progress == nil {
		return
	}
	s.mu.Lock()
	have, total, doing := s.have, s.total, s.doing
	now := time.Now()
	isSoon := doing == s.said && have != total && now.Sub(s.told) < tellEvery
	if !isSoon {
		s.told, s.said = now, doing
	}
	s.mu.Unlock()
	if !isSoon {
		s.job.Progress(have, total, doing)
	}
}
