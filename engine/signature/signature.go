// Package signature verifies and makes signatures of images in the formats of cosign and of the Notary Project, as they
// lie beside an image in its registry. It reads documents that are given to it: it knows no policy, no image store and
// no way to a registry but the one that it is lent, and it never holds a private key.
package signature

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Format is how a signature is written down.
type Format string

// The formats that are verified. Those of Sign are Cosign and Notation.
const (
	Cosign   Format = "cosign"
	Bundle   Format = "sigstore bundle" // what cosign 3 writes unless it is told otherwise
	Notation Format = "notation"
)

// Signature is one that lies beside an image.
type Signature struct {
	Format Format
	Stored digest.Digest // of the document that holds it
	Signer string        // who says so; "" where that can't be read. Believed only where By is set
	By     *Authority    // who of those that are trusted has signed; nil: none of them
	Why    error         // why not
}

// Bounds of what is read of a registry for the signatures of one image.
const (
	mostDocuments  = 64
	mostSignatures = 64
	mostBytes      = 4 << 20 // of a document, and of a signature
)

// Repository is where an image lies with its signatures.
type Repository struct {
	name     reference.Named
	resolver remotes.Resolver
}

// Open gives the repository of a reference.
func Open(ref string, hosts docker.RegistryHosts) (*Repository, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return nil, fmt.Errorf("%q is not an image reference: %w", ref, err)
	}
	resolver := docker.NewResolver(docker.ResolverOptions{Hosts: withReferrers(hosts)})
	return &Repository{name: reference.TrimNamed(named), resolver: resolver}, nil
}

// withReferrers has registries asked for what refers to an image, which not all settings of hosts tell of. One that
// knows no such question says so, and is asked for the tag that stands in for the answer.
func withReferrers(hosts docker.RegistryHosts) docker.RegistryHosts {
	return func(host string) ([]docker.RegistryHost, error) {
		list, err := hosts(host)
		list = slices.Clone(list)
		for i := range list {
			if list[i].Capabilities.Has(docker.HostCapabilityPull) {
				list[i].Capabilities |= docker.HostCapabilityReferrers
			}
		}
		return list, err
	}
}

// Target are the registries alone that take what is pushed: what is signed is what these have, whatever a mirror of theirs
// says.
func Target(hosts docker.RegistryHosts) docker.RegistryHosts {
	return func(host string) ([]docker.RegistryHost, error) {
		list, err := hosts(host)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(list, func(h docker.RegistryHost) bool { return h.Capabilities.Has(docker.HostCapabilityPush) })
		if i < 0 {
			return nil, fmt.Errorf("no registry at %s takes images: its settings name mirrors alone", host)
		}
		to := list[i]
		to.Capabilities |= docker.HostCapabilityPull | docker.HostCapabilityResolve
		return []docker.RegistryHost{to}, nil
	}
}

// Resolve is what a reference points to in its registry.
func (r *Repository) Resolve(ctx context.Context, ref string) (ocispec.Descriptor, error) {
	_, found, err := r.resolver.Resolve(ctx, ref)
	return found, err
}

// At is the reference of what has a digest there.
func (r *Repository) At(d digest.Digest) string { return r.name.Name() + "@" + d.String() }

// Read is a document or blob, held against its digest.
func (r *Repository) Read(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	if d.Size < 0 || d.Size > mostBytes {
		return nil, fmt.Errorf("%s has %d bytes, more than the %d that are read of it", d.Digest, d.Size, mostBytes)
	}
	if err := d.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("%.100q is not a digest", d.Digest)
	}
	fetcher, err := r.resolver.Fetcher(ctx, r.At(d.Digest))
	if err != nil {
		return nil, err
	}
	from, err := fetcher.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	text, err := io.ReadAll(io.LimitReader(from, mostBytes+1))
	if err != nil {
		return nil, err
	}
	if d.Digest.Algorithm().FromBytes(text) != d.Digest {
		return nil, fmt.Errorf("%s is not what the registry gives for that digest", d.Digest)
	}
	return text, nil
}

// Verify looks for signatures of an image, or of another manifest, and says of each who of the trusted has made it. The
// error is that of a registry that can't be asked, where what it has told has no signature that counts; an image without
// signatures has none and no error.
func (r *Repository) Verify(ctx context.Context, of digest.Digest, trusted *Trusted, now time.Time) ([]Signature, error) {
	documents, failed := r.documents(ctx, of)
	var all []Signature
	for _, d := range documents {
		if len(all) >= mostSignatures {
			break
		}
		found, err := r.verify(ctx, d, of, trusted, now, mostSignatures-len(all))
		all, failed = append(all, found...), errors.Join(failed, err)
	}
	slices.SortStableFunc(all, func(a, b Signature) int { return cmp.Compare(rank(a), rank(b)) })
	if len(all) > 0 && all[0].By != nil {
		return all, nil
	}
	return all, failed
}

func rank(s Signature) int {
	if s.By != nil {
		return 0
	}
	return 1
}

// cosignTag is the tag under which cosign puts the signatures of a manifest.
func cosignTag(of digest.Digest) string { return of.Algorithm().String() + "-" + of.Encoded() + ".sig" }

// documents are the manifests that may hold signatures of a manifest: that of cosign's tag, and what refers to it. With an
// error come those that are known all the same.
func (r *Repository) documents(ctx context.Context, of digest.Digest) ([]ocispec.Descriptor, error) {
	var all []ocispec.Descriptor
	_, tagged, err := r.resolver.Resolve(ctx, r.name.Name()+":"+cosignTag(of))
	switch {
	case err == nil:
		tagged.ArtifactType = artifactCosign
		all = append(all, tagged)
	case errdefs.IsNotFound(err):
		err = nil
	}
	referrers, unknown := r.referrers(ctx, of)
	for _, d := range referrers {
		isOne := slices.Contains([]string{artifactCosign, artifactNotation}, d.ArtifactType) || strings.HasPrefix(d.ArtifactType, artifactBundle)
		if isOne && !slices.ContainsFunc(all, func(other ocispec.Descriptor) bool { return other.Digest == d.Digest }) {
			all = append(all, d)
		}
	}
	if len(all) > mostDocuments {
		all = all[:mostDocuments]
	}
	return all, errors.Join(err, unknown)
}

// referrers are the manifests that say that they are about another one.
func (r *Repository) referrers(ctx context.Context, of digest.Digest) ([]ocispec.Descriptor, error) {
	fetcher, err := r.resolver.Fetcher(ctx, r.At(of))
	if err != nil {
		return nil, err
	}
	asked, ok := fetcher.(remotes.ReferrersFetcher)
	if !ok {
		return nil, errors.New("internal error: a registry can't be asked for what refers to an image")
	}
	return asked.FetchReferrers(ctx, of)
}

// verify reads the signatures that a document holds. What is wrong with one is told with it: a broken one beside a good
// one keeps nobody from an image.
func (r *Repository) verify(ctx context.Context, d ocispec.Descriptor, of digest.Digest, trusted *Trusted, now time.Time, most int) ([]Signature, error) {
	wrong := func(err error) []Signature {
		return []Signature{{Format: formatOf(d.ArtifactType), Stored: d.Digest, Why: err}}
	}
	text, err := r.Read(ctx, d)
	if errdefs.IsNotFound(err) {
		return wrong(errors.New("its document is gone from the registry")), nil
	}
	if err != nil {
		return nil, err
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(text, &manifest); err != nil || !images.IsManifestType(cmp.Or(manifest.MediaType, d.MediaType)) {
		return wrong(errors.New("its document is no manifest")), nil
	}
	var all []Signature
	for _, layer := range manifest.Layers[:min(most, len(manifest.Layers))] {
		blob, err := r.Read(ctx, layer)
		if err != nil {
			all = append(all, wrong(fmt.Errorf("cannot read it: %w", err))...)
			continue
		}
		s := Signature{Format: formatOf(d.ArtifactType), Stored: d.Digest}
		s.Signer, s.By, s.Why = verifyBlob(s.Format, layer, blob, of, trusted, now)
		all = append(all, s)
	}
	return all, nil
}

func formatOf(artifact string) Format {
	switch {
	case artifact == artifactNotation:
		return Notation
	case strings.HasPrefix(artifact, artifactBundle):
		return Bundle
	}
	return Cosign
}

func verifyBlob(f Format, layer ocispec.Descriptor, blob []byte, of digest.Digest, trusted *Trusted, now time.Time) (signer string, by *Authority, err error) {
	switch f {
	case Notation:
		return verifyNotation(layer.MediaType, blob, of, trusted, now)
	case Bundle:
		by, err = verifyBundle(blob, of, trusted)
		return "", by, err
	}
	by, err = verifyCosign(blob, layer.Annotations[annotationSignature], of, trusted)
	return "", by, err
}

// noneOf is the reason of a signature that none of the trusted has made.
func (t *Trusted) noneOf() error {
	if len(t.All) == 0 {
		return errors.New("no key is named that could have made it")
	}
	return errors.New("none of the keys has made it")
}
