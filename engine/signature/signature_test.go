package signature

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	notary "github.com/notaryproject/notation-core-go/signature"
	"github.com/notaryproject/notation-core-go/signature/cose"
	"github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	sigstore "github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

var (
	now   = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	image = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("image"), Size: 5}
	other = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("other"), Size: 5}
)

func must[T any](t testing.TB, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return must(t, k, err)
}

// keys are one of each kind.
func keys(t *testing.T) map[string]crypto.Signer {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, r, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(t, ed, err)
	return map[string]crypto.Signer{"ecdsa": ecKey(t), "rsa": r, "ed25519": ed}
}

func trustedKey(t testing.TB, name string, key crypto.PublicKey) *Trusted {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	trusted := &Trusted{}
	if err := trusted.AddKey(name, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(t, der, err)})); err != nil {
		t.Fatal(err)
	}
	return trusted
}

func signedBy(t testing.TB, key crypto.Signer, text []byte) []byte {
	t.Helper()
	s, err := sigstore.LoadSigner(key, crypto.SHA256)
	raw, err := must(t, s, err).SignMessage(bytes.NewReader(text))
	return must(t, raw, err)
}

// TestCosign: a signature counts that a trusted key has made of the payload, which names the image.
//
// Risk supply chain: a good signature of one image is put beside another, or its payload is changed
// Held: it is not one of that image
func TestCosign(t *testing.T) {
	all := keys(t)
	for kind, key := range all {
		text, err := payloadOf("registry.example/api", image.Digest)
		raw := signedBy(t, key, must(t, text, err))
		signed := base64.StdEncoding.EncodeToString(raw)
		trusted := trustedKey(t, "a.pub", key.Public())
		if by, err := verifyCosign(text, signed, image.Digest, trusted); by == nil || by.Name != "a.pub" || err != nil {
			t.Errorf("%s: %+v, %v", kind, by, err)
		}
		attack := []byte(strings.ReplaceAll(string(text), image.Digest.String(), other.Digest.String()))
		kindless := []byte(strings.ReplaceAll(string(text), "cosign container image signature", "something"))
		for name, c := range map[string]struct {
			text   []byte
			signed string
			of     digest.Digest
			by     *Trusted
			want   string
		}{
			"of another image": {text, signed, other.Digest, trusted, "it is of another image, " + image.Digest.String()},
			"tampered":         {attack, signed, other.Digest, trusted, "none of the keys has made it"},
			"by another key":   {text, signed, image.Digest, trustedKey(t, "b", ecKey(t).Public()), "none of the keys has made it"},
			"by nobody":        {text, signed, image.Digest, &Trusted{}, "no key is named that could have made it"},
			"unsigned":         {text, "", image.Digest, trusted, "it has no signature that can be read"},
			"unreadable":       {text, "%", image.Digest, trusted, "it has no signature that can be read"},
			"of no image":      {kindless, base64.StdEncoding.EncodeToString(signedBy(t, key, kindless)), image.Digest, trusted, "what is signed is no image"},
			"no JSON":          {[]byte("x"), base64.StdEncoding.EncodeToString(signedBy(t, key, []byte("x"))), image.Digest, trusted, "what is signed is no image"},
		} {
			if by, err := verifyCosign(c.text, c.signed, c.of, c.by); by != nil || err == nil || err.Error() != c.want {
				t.Errorf("%s, %s: %+v, %v", kind, name, by, err)
			}
		}
	}
}

// TestAllWaysToSignByAKeyCount: those of cosign 3, whose hash goes by the key, and those of older ones.
func TestAllWaysToSignByAKeyCount(t *testing.T) {
	all := keys(t)
	for _, curve := range []elliptic.Curve{elliptic.P384(), elliptic.P521()} {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		all[curve.Params().Name] = must(t, k, err)
	}
	text, err := payloadOf("registry.example/api", image.Digest)
	must(t, text, err)
	for kind, key := range all {
		older, err := sigstore.LoadSigner(key, crypto.SHA256)
		must(t, older, err)
		newer, err := sigstore.LoadDefaultSignerVerifier(key, options.WithED25519ph())
		must(t, newer, err)
		trusted, stranger := trustedKey(t, "a.pub", key.Public()), trustedKey(t, "b.pub", ecKey(t).Public())
		for way, signer := range map[string]sigstore.Signer{"older": older, "newer": newer} {
			raw, err := signer.SignMessage(bytes.NewReader(text))
			signed := base64.StdEncoding.EncodeToString(must(t, raw, err))
			if by, err := verifyCosign(text, signed, image.Digest, trusted); by == nil || err != nil {
				t.Errorf("%s, %s: %v", kind, way, err)
			}
			if by, err := verifyCosign(text, signed, image.Digest, stranger); by != nil || err == nil {
				t.Errorf("%s, %s: %+v, %v", kind, way, by, err)
			}
		}
	}
}

func bundleOf(t testing.TB, key crypto.Signer, predicate string, of digest.Digest) []byte {
	t.Helper()
	statement := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","predicateType":%q,"subject":[{"digest":{"sha256":%q}}],"predicate":{}}`, predicate, of.Encoded())
	text, err := json.Marshal(map[string]any{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "dsseEnvelope": map[string]any{
		"payload": []byte(statement), "payloadType": mediaTypeStatement,
		"signatures": []any{map[string]any{"sig": signedBy(t, key, dsse.PAE(mediaTypeStatement, []byte(statement)))}},
	}})
	return must(t, text, err)
}

func TestBundles(t *testing.T) {
	key := ecKey(t)
	trusted, good := trustedKey(t, "a.pub", key.Public()), bundleOf(t, key, predicateSign, image.Digest)
	if by, err := verifyBundle(good, image.Digest, trusted); by == nil || err != nil {
		t.Fatalf("%+v, %v", by, err)
	}
	for name, c := range map[string]struct {
		text []byte
		by   *Trusted
		want string
	}{
		"of another image":   {bundleOf(t, key, predicateSign, other.Digest), trusted, "it is of another image"},
		"an attestation":     {bundleOf(t, key, "https://slsa.dev/provenance/v1", image.Digest), trusted, "what is signed is no image"},
		"by another key":     {good, trustedKey(t, "b", ecKey(t).Public()), "none of the keys has made it"},
		"without signatures": {[]byte(`{"dsseEnvelope":{"payload":"e30=","signatures":[]}}`), trusted, "it is no bundle with one signature of a statement"},
		"of a message":       {[]byte(`{"messageSignature":{}}`), trusted, "it is no bundle with one signature of a statement"},
	} {
		if by, err := verifyBundle(c.text, image.Digest, c.by); by != nil || err == nil || err.Error() != c.want {
			t.Errorf("%s: %+v, %v", name, by, err)
		}
	}
}

// chain is a certificate that signs images, with one that has signed it, and its key.
type chain struct {
	key   *ecdsa.PrivateKey
	certs []*x509.Certificate
}

func newChain(t testing.TB, from, to time.Time) chain {
	t.Helper()
	root, leaf := ecKey(t), ecKey(t)
	name := func(cn string) pkix.Name {
		return pkix.Name{Country: []string{"DE"}, Organization: []string{"Shop"}, CommonName: cn}
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: name("root"), NotBefore: from, NotAfter: to, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, root.Public(), root)
	ca, err = x509.ParseCertificate(must(t, der, err))
	must(t, ca, err)
	own := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: name("signer"), NotBefore: from, NotAfter: to, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}
	der, err = x509.CreateCertificate(rand.Reader, own, ca, leaf.Public(), root)
	own, err = x509.ParseCertificate(must(t, der, err))
	return chain{leaf, []*x509.Certificate{must(t, own, err), ca}}
}

func (c chain) pem(i int) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.certs[i].Raw})
}

// envelope is what the Notary Project's library makes with the key itself.
func (c chain) envelope(t testing.TB, mediaType string, of ocispec.Descriptor, change func(*notary.SignRequest)) []byte {
	t.Helper()
	text, err := notationPayload(of)
	must(t, text, err)
	signer, err := notary.NewLocalSigner(c.certs, c.key)
	must(t, signer, err)
	e, err := notary.NewEnvelope(mediaType)
	must(t, e, err)
	req := &notary.SignRequest{Payload: notary.Payload{ContentType: payloadNotation, Content: text}, Signer: signer, SigningTime: now, SigningScheme: notary.SigningSchemeX509, SigningAgent: "test"}
	if change != nil {
		change(req)
	}
	blob, err := e.Sign(req)
	return must(t, blob, err)
}

func TestNotation(t *testing.T) {
	c, stranger := newChain(t, now.AddDate(0, -1, 0), now.AddDate(0, 1, 0)), newChain(t, now.AddDate(0, -1, 0), now.AddDate(0, 1, 0))
	trusted, strange := &Trusted{}, &Trusted{}
	if err := trusted.AddCertificates("root.crt", c.pem(1)); err != nil {
		t.Fatal(err)
	}
	if err := strange.AddCertificates("other.crt", append(stranger.pem(0), stranger.pem(1)...)); err != nil || len(strange.All) != 2 {
		t.Fatal(err)
	}
	for _, mediaType := range []string{jws.MediaTypeEnvelope, cose.MediaTypeEnvelope} {
		good := c.envelope(t, mediaType, image, nil)
		signer, by, err := verifyNotation(mediaType, good, image.Digest, trusted, now)
		if signer != "CN=signer,O=Shop,C=DE" || by == nil || by.Name != "root.crt" || err != nil {
			t.Errorf("%s: %q, %+v, %v", mediaType, signer, by, err)
		}
		tampered := bytes.Replace(good, []byte(base64.RawURLEncoding.EncodeToString([]byte(`{"targetArtifact":{"d`))), []byte(base64.RawURLEncoding.EncodeToString([]byte(`{"targetArtifact":{"D`))), 1)
		if mediaType == cose.MediaTypeEnvelope {
			tampered = bytes.Replace(good, []byte("mediaType"), []byte("MEDIAType"), 1)
		}
		critical := func(r *notary.SignRequest) {
			r.ExtendedSignedAttributes = []notary.Attribute{{Key: "io.cncf.notary.verificationPlugin", Critical: true, Value: "x"}}
		}
		for name, bad := range map[string]struct {
			text []byte
			by   *Trusted
			at   time.Time
			want string
		}{
			"of another image":   {c.envelope(t, mediaType, other, nil), trusted, now, "it is of another image, " + other.Digest.String()},
			"of strangers":       {good, strange, now, "none of the certificates has made it"},
			"with keys alone":    {good, trustedKey(t, "a", c.key.Public()), now, "no certificate is trusted"},
			"tampered":           {tampered, trusted, now, "it is damaged: "},
			"nothing":            {nil, trusted, now, "it can't be read as "},
			"too late":           {good, trusted, now.AddDate(0, 2, 0), "the certificate of CN=signer,O=Shop,C=DE is valid from 2026-04-01 to 2026-06-01 alone"},
			"too early":          {good, trusted, now.AddDate(0, -2, 0), "the certificate of CN=signer,O=Shop,C=DE is valid from"},
			"expired":            {c.envelope(t, mediaType, image, func(r *notary.SignRequest) { r.Expiry = now.Add(time.Hour) }), trusted, now.Add(2 * time.Hour), "it has expired at 2026-05-01T13:00:00Z"},
			"with more to check": {c.envelope(t, mediaType, image, critical), trusted, now, "it demands that io.cncf.notary.verificationPlugin is looked at, which is not supported"},
			"of something else": {c.envelope(t, mediaType, image, func(r *notary.SignRequest) { r.Payload.ContentType = "text/plain" }), trusted, now,
				"what is signed is no image"},
		} {
			if _, by, err := verifyNotation(mediaType, bad.text, image.Digest, bad.by, bad.at); by != nil || err == nil || !strings.HasPrefix(err.Error(), bad.want) {
				t.Errorf("%s, %s: %+v, %v", mediaType, name, by, err)
			}
		}
	}
	if _, by, err := verifyNotation("application/pkcs7", nil, image.Digest, trusted, now); by != nil || err == nil {
		t.Errorf("%+v, %v", by, err)
	}
}

func TestWhatIsNoKey(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip("SKIPPED: such small keys are not made here")
	}
	der, err := x509.MarshalPKIXPublicKey(small.Public())
	must(t, der, err)
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"nothing": {nil, "k has no public key in PEM"}, "a private key": {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), "k has no public key in PEM"},
		"a weak one": {pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "the key of k is not one to trust: "},
	} {
		if err := (&Trusted{}).AddKey("k", c.text); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (&Trusted{}).AddCertificates("c", []byte("x")); err == nil {
		t.Error("text is a certificate")
	}
}

// FuzzVerify: whatever a registry gives for a signature, it is verified by nobody.
func FuzzVerify(f *testing.F) {
	key := ecKey(f)
	c := newChain(f, now.AddDate(0, -1, 0), now.AddDate(0, 1, 0))
	trusted := trustedKey(f, "a", ecKey(f).Public())
	if err := trusted.AddCertificates("b", newChain(f, now, now).pem(1)); err != nil {
		f.Fatal(err)
	}
	f.Add(bundleOf(f, key, predicateSign, image.Digest))
	f.Add(c.envelope(f, jws.MediaTypeEnvelope, image, nil))
	f.Add(c.envelope(f, cose.MediaTypeEnvelope, image, nil))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, format := range []Format{Cosign, Bundle, Notation} {
			for _, mediaType := range []string{jws.MediaTypeEnvelope, cose.MediaTypeEnvelope} {
				layer := ocispec.Descriptor{MediaType: mediaType, Annotations: map[string]string{annotationSignature: "MEUCIQ=="}}
				if _, by, err := verifyBlob(format, layer, text, image.Digest, trusted, now); by != nil || err == nil {
					t.Errorf("%s: %+v, %v", format, by, err)
				}
			}
		}
	})
}

// registry is one in memory that tells what refers to an image.
type registry struct {
	documents map[digest.Digest][]byte
	refer     []ocispec.Descriptor
	reads     int
}

func (r *registry) add(mediaType string, text []byte) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}
	r.documents[d.Digest] = text
	return d
}

func (r *registry) Resolve(context.Context, string) (string, ocispec.Descriptor, error) {
	return "", ocispec.Descriptor{}, errdefs.ErrNotFound
}
func (r *registry) Fetcher(context.Context, string) (remotes.Fetcher, error) { return r, nil }
func (r *registry) Pusher(context.Context, string) (remotes.Pusher, error) {
	return nil, errdefs.ErrNotImplemented
}
func (r *registry) FetchReferrers(context.Context, digest.Digest, ...remotes.FetchReferrersOpt) ([]ocispec.Descriptor, error) {
	return r.refer, nil
}
func (r *registry) Fetch(_ context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	r.reads++
	text, ok := r.documents[d.Digest]
	if !ok {
		return nil, errdefs.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(text)), nil
}

// TestSignaturesThatAreReadAreBounded, whatever documents hold them and however broken they are.
//
// Risk supply chain: a registry gives more signatures of an image than can be read
// Held: 64 are read
func TestSignaturesThatAreReadAreBounded(t *testing.T) {
	r := &registry{documents: map[digest.Digest][]byte{}}
	blob := r.add(mediaTypePayload, []byte("x"))
	of := func(layers int, note string) {
		m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Annotations: map[string]string{"note": note}}
		for range layers {
			m.Layers = append(m.Layers, blob)
		}
		text, err := json.Marshal(m)
		d := r.add(ocispec.MediaTypeImageManifest, must(t, text, err))
		d.ArtifactType = artifactCosign
		r.refer = append(r.refer, d)
	}
	of(mostSignatures, "full")
	broken := r.add(ocispec.MediaTypeImageManifest, []byte("{"))
	broken.ArtifactType = artifactCosign
	r.refer = append(r.refer, broken)
	of(1000, "more")
	named, err := reference.ParseNormalizedNamed("registry.example/api")
	repo := &Repository{name: must(t, named, err), resolver: r}
	all, err := repo.Verify(t.Context(), image.Digest, &Trusted{}, now)
	if err != nil || len(all) != mostSignatures || r.reads > mostSignatures+2 {
		t.Errorf("%d signatures by %d reads, %v", len(all), r.reads, err)
	}
}

// TestWhatIsSignedIsNotSignedAgain, by the same certificate: else documents would pile up until none is read any more.
func TestWhatIsSignedIsNotSignedAgain(t *testing.T) {
	c := newChain(t, now.AddDate(0, -1, 0), now.AddDate(0, 1, 0))
	r := &registry{documents: map[digest.Digest][]byte{}}
	text, err := json.Marshal(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Layers: []ocispec.Descriptor{r.add(notationMediaType, c.envelope(t, notationMediaType, image, nil))}})
	there := r.add(ocispec.MediaTypeImageManifest, must(t, text, err))
	there.ArtifactType = artifactNotation
	r.refer = []ocispec.Descriptor{there}
	named, err := reference.ParseNormalizedNamed("registry.example/api")
	repo := &Repository{name: must(t, named, err), resolver: r}
	asked := errors.New("the key is asked")
	sign := func(by chain, of ocispec.Descriptor) (digest.Digest, error) {
		return repo.Sign(t.Context(), Signing{Format: Notation, Of: of, Certificates: by.certs, Now: now, Sign: func([]byte, string) ([]byte, error) { return nil, asked }}, nil)
	}
	if stored, err := sign(c, image); stored != there.Digest || err != nil {
		t.Errorf("%s, %v", stored, err)
	}
	if _, err := sign(newChain(t, now.AddDate(0, -1, 0), now.AddDate(0, 1, 0)), image); err == nil {
		t.Error("the signature of another certificate counts")
	}
	if _, err := sign(c, other); err == nil {
		t.Error("the signature of another image counts")
	}
}

// TestDocumentsAreHeldAgainstTheirDigests, of whatever algorithm.
func TestDocumentsAreHeldAgainstTheirDigests(t *testing.T) {
	r := &registry{documents: map[digest.Digest][]byte{}}
	named, err := reference.ParseNormalizedNamed("registry.example/api")
	repo := &Repository{name: must(t, named, err), resolver: r}
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512} {
		d := ocispec.Descriptor{Digest: algorithm.FromString("text"), Size: 4}
		r.documents[d.Digest] = []byte("text")
		if text, err := repo.Read(t.Context(), d); err != nil || string(text) != "text" {
			t.Errorf("%s: %q, %v", algorithm, text, err)
		}
		r.documents[d.Digest] = []byte("test")
		if _, err := repo.Read(t.Context(), d); err == nil {
			t.Errorf("%s: another text is taken for it", algorithm)
		}
	}
}
