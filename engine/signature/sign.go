package signature

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	notary "github.com/notaryproject/notation-core-go/signature"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/orlop/orlop/runner/push"
)

// Algorithms that a message is to be signed by, beside those of RFC 7518 (ES256, PS384, ...).
const (
	ByKey = "cosign" // as cosign verifies unless it is told otherwise: SHA-256 with ECDSA (ASN.1) of any curve or RSA (PKCS #1 v1.5), or Ed25519
)

// Signing is a signature that is to be made.
type Signing struct {
	Format       Format
	Of           ocispec.Descriptor
	Public       crypto.PublicKey    // of the key
	Certificates []*x509.Certificate // of a signature of Notation: its own first
	// Sign signs a message, by an algorithm, with the private key, wherever that is.
	Sign func(message []byte, algorithm string) ([]byte, error)
	// Turn keeps others of this engine from what signatures there are; nil: there are none.
	Turn  func(context.Context) (release func(), err error)
	Agent string // who makes it
	Now   time.Time
}

// Sign puts a signature beside an image, and gives the digest of the document that holds it. One that the key does not
// verify is not put there.
func (r *Repository) Sign(ctx context.Context, s Signing, hosts docker.RegistryHosts) (digest.Digest, error) {
	if s.Format == Notation {
		return r.signNotation(ctx, s, hosts)
	}
	return r.signCosign(ctx, s, hosts)
}

func (r *Repository) signCosign(ctx context.Context, s Signing, hosts docker.RegistryHosts) (digest.Digest, error) {
	own, err := ofKey("the signer", s.Public)
	if err != nil {
		return "", err
	}
	trusted := &Trusted{All: []*Authority{own}}
	there, _ := r.Verify(ctx, s.Of.Digest, trusted, s.Now) // what can't be read is told where the signature is to be put beside it
	for _, one := range there {
		if one.Format == Cosign && one.By != nil {
			return one.Stored, nil // the key has signed it already
		}
	}
	text, err := payloadOf(r.name.Name(), s.Of.Digest)
	if err != nil {
		return "", err
	}
	raw, err := s.Sign(text, ByKey)
	if err != nil {
		return "", err
	}
	encoded := base64.StdEncoding.EncodeToString(raw)
	if _, err := verifyCosign(text, encoded, s.Of.Digest, trusted); err != nil {
		return "", fmt.Errorf("the signature is not one of the key that it was to be made by: %w", err)
	}
	release, err := s.turn(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	return r.amend(ctx, cosignTag(s.Of.Digest), hosts, func(ctx context.Context) (*amended, error) {
		parts := memory{}
		manifest, err := r.cosigned(ctx, s.Of.Digest)
		if err != nil {
			return nil, err
		}
		for _, layer := range manifest.Layers {
			blob, err := r.Read(ctx, layer)
			if err != nil {
				return nil, fmt.Errorf("cannot read the signatures that are there: %w", err)
			}
			if by, err := verifyCosign(blob, layer.Annotations[annotationSignature], s.Of.Digest, trusted); err == nil && by != nil {
				return &amended{was: manifest.digest}, nil // the key has signed it by now
			}
			parts[layer.Digest] = blob
		}
		layer := parts.add(mediaTypePayload, text)
		layer.Annotations = map[string]string{annotationSignature: encoded}
		manifest.Layers = append(manifest.Layers, layer)
		config, err := configOf(manifest.Layers)
		if err != nil {
			return nil, err
		}
		manifest.Config = parts.add(ocispec.MediaTypeImageConfig, config)
		return &amended{was: manifest.digest, document: manifest.Manifest, parts: parts}, nil
	})
}

// turn waits until nobody else of this engine changes what signatures there are.
func (s *Signing) turn(ctx context.Context) (release func(), err error) {
	if s.Turn == nil {
		return func() {}, nil
	}
	return s.Turn(ctx)
}

// amended is what a document is to be that others may change, too.
type amended struct {
	was      digest.Digest // what it is made of; "": nothing was there
	document any           // nil: it is as it is to be
	parts    memory
}

// mostAmendments is how often a document is made anew because another one has come meanwhile.
const mostAmendments = 8

// amend changes the document of a tag. Registries can't be asked to change one only if it still is what was read: it is
// looked at again just before it is put, when all but the tag is there, and afterwards.
func (r *Repository) amend(ctx context.Context, tag string, hosts docker.RegistryHosts, change func(context.Context) (*amended, error)) (digest.Digest, error) {
	for range mostAmendments {
		to, err := change(ctx)
		if err != nil {
			return "", err
		}
		if to.document == nil {
			return to.was, nil
		}
		if _, err := r.put(ctx, "", to.document, to.parts, hosts); err != nil {
			return "", err
		}
		if now, err := r.tagged(ctx, tag); err != nil || now != to.was {
			if err != nil {
				return "", err
			}
			continue
		}
		put, err := r.put(ctx, tag, to.document, to.parts, hosts)
		if err != nil {
			return "", err
		}
		if now, err := r.tagged(ctx, tag); err != nil || now == put {
			return put, err
		}
	}
	return "", fmt.Errorf("others have changed %s each time: run it again", tag)
}

// tagged is what a tag points to; "" is nothing.
func (r *Repository) tagged(ctx context.Context, tag string) (digest.Digest, error) {
	_, found, err := r.resolver.Resolve(ctx, r.name.Name()+":"+tag)
	if errdefs.IsNotFound(err) {
		return "", nil
	}
	return found.Digest, err
}

// configOf is the configuration that cosign gives to its documents, which pass for images so.
func configOf(layers []ocispec.Descriptor) ([]byte, error) {
	var config ocispec.Image
	config.RootFS.Type = "layers"
	for _, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.Digest)
	}
	return json.Marshal(config)
}

// signatures is a document of cosign.
type signatures struct {
	ocispec.Manifest
	digest digest.Digest
}

// cosigned is the document of the signatures that are there, or an empty one.
func (r *Repository) cosigned(ctx context.Context, of digest.Digest) (signatures, error) {
	fresh := signatures{Manifest: ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}}
	_, found, err := r.resolver.Resolve(ctx, r.name.Name()+":"+cosignTag(of))
	if errdefs.IsNotFound(err) {
		return fresh, nil
	}
	if err != nil {
		return fresh, err
	}
	text, err := r.Read(ctx, found)
	if err != nil {
		return fresh, err
	}
	if err := json.Unmarshal(text, &fresh.Manifest); err != nil || !images.IsManifestType(found.MediaType) {
		return fresh, fmt.Errorf("%s holds no signatures, where cosign has them: remove that tag", cosignTag(of))
	}
	fresh.digest = found.Digest
	return fresh, nil
}

func (r *Repository) signNotation(ctx context.Context, s Signing, hosts docker.RegistryHosts) (digest.Digest, error) {
	if len(s.Certificates) == 0 {
		return "", errors.New("a signature of notation is made by a certificate: name it with --certificate")
	}
	own := &Trusted{All: []*Authority{{certificate: s.Certificates[0]}}}
	there, err := r.Verify(ctx, s.Of.Digest, own, s.Now)
	if err != nil {
		return "", fmt.Errorf("cannot read the signatures that are there: %w", err)
	}
	if len(there) > 0 && there[0].By != nil {
		return there[0].Stored, nil // the certificate has signed it already
	}
	text, err := notationPayload(s.Of)
	if err != nil {
		return "", err
	}
	envelope, err := notary.NewEnvelope(notationMediaType)
	if err != nil {
		return "", err
	}
	blob, err := envelope.Sign(&notary.SignRequest{
		Payload: notary.Payload{ContentType: payloadNotation, Content: text}, Signer: &remote{s},
		SigningTime: s.Now, SigningScheme: notary.SigningSchemeX509, SigningAgent: s.Agent,
	})
	if err != nil {
		return "", inWords(err)
	}
	if _, by, err := verifyNotation(notationMediaType, blob, s.Of.Digest, own, s.Now); by == nil {
		return "", fmt.Errorf("the signature would not be valid: %w", err)
	}
	parts := memory{}
	subject := ocispec.Descriptor{MediaType: s.Of.MediaType, Digest: s.Of.Digest, Size: s.Of.Size}
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Subject: &subject,
		Config: parts.add(artifactNotation, []byte("{}")), Layers: []ocispec.Descriptor{parts.add(notationMediaType, blob)},
		Annotations: map[string]string{annotationThumbprint: thumbprints(s.Certificates), ocispec.AnnotationCreated: s.Now.UTC().Format(time.RFC3339)},
	}
	put, err := r.put(ctx, "", manifest, parts, hosts)
	if err != nil {
		return "", err
	}
	release, err := s.turn(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	return put, r.refer(ctx, s.Of.Digest, put, manifest, hosts)
}

// remote signs where the key is.
type remote struct{ Signing }

// Sign implements notary.Signer.
func (r *remote) Sign(message []byte) ([]byte, []*x509.Certificate, error) {
	spec, err := r.KeySpec()
	if err != nil {
		return nil, nil, err
	}
	raw, err := r.Signing.Sign(message, jwa(spec))
	return raw, r.Certificates, err
}

// KeySpec implements notary.Signer.
func (r *remote) KeySpec() (notary.KeySpec, error) { return notary.ExtractKeySpec(r.Certificates[0]) }

// jwa is what RFC 7518 calls the algorithm of a key.
func jwa(spec notary.KeySpec) string {
	bits := map[int]string{256: "256", 384: "384", 521: "512", 2048: "256", 3072: "384", 4096: "512"}[spec.Size]
	if spec.Type == notary.KeyTypeEC {
		return "ES" + bits
	}
	return "PS" + bits
}

// inWords is an error of making an envelope.
func inWords(err error) error {
	if _, ok := errors.AsType[*notary.UnsupportedSigningKeyError](err); ok {
		return errors.New("the certificate's key is not one that the Notary Project signs by: take RSA of 2048, 3072 or 4096 bits, or ECDSA on P-256, P-384 or P-521")
	}
	return fmt.Errorf("the certificate does not fit to sign images: %w", err)
}

func thumbprints(chain []*x509.Certificate) string {
	var all []string
	for _, c := range chain {
		sum := sha256.Sum256(c.Raw)
		all = append(all, hex.EncodeToString(sum[:]))
	}
	text, _ := json.Marshal(all) // strings can be marshalled
	return string(text)
}

// put puts a document into the repository, by a tag or by its digest alone.
func (r *Repository) put(ctx context.Context, tag string, document any, parts memory, hosts docker.RegistryHosts) (digest.Digest, error) {
	text, err := json.Marshal(document)
	if err != nil {
		return "", err
	}
	mediaType := ocispec.MediaTypeImageManifest
	if _, isIndex := document.(ocispec.Index); isIndex {
		mediaType = ocispec.MediaTypeImageIndex
	}
	root := parts.add(mediaType, text)
	ref := r.At(root.Digest)
	if tag != "" {
		ref = r.name.Name() + ":" + tag
	}
	job := push.Job{Ref: ref, Root: root, From: parts, Hosts: hosts}
	if mediaType == ocispec.MediaTypeImageIndex {
		err = push.SendAlone(ctx, job)
	} else {
		_, err = push.Send(ctx, job)
	}
	return root.Digest, err
}

// refer has a registry that does not list what refers to an image tell it all the same: by the tag that stands in for
// the list (Distribution Specification, "Referrers Tag Schema").
func (r *Repository) refer(ctx context.Context, of, stored digest.Digest, manifest ocispec.Manifest, hosts docker.RegistryHosts) error {
	text, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	tag := of.Algorithm().String() + "-" + of.Encoded()
	_, err = r.amend(ctx, tag, hosts, func(ctx context.Context) (*amended, error) {
		was, err := r.tagged(ctx, tag)
		if err != nil {
			return nil, err
		}
		list, err := r.referrers(ctx, of)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(list, func(d ocispec.Descriptor) bool { return d.Digest == stored }) {
			return &amended{was: was}, nil
		}
		return &amended{was: was, parts: memory{}, document: ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: append(list, ocispec.Descriptor{
			MediaType: manifest.MediaType, Digest: stored, Size: int64(len(text)), ArtifactType: artifactNotation, Annotations: manifest.Annotations,
		})}}, nil
	})
	return err
}

// memory is what is to be sent, by digest.
type memory map[digest.Digest][]byte

func (m memory) add(mediaType string, text []byte) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}
	m[d.Digest] = text
	return d
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

// Close implements content.ReaderAt.
func (*held) Close() error { return nil }
