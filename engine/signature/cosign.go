package signature

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	sigstore "github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/payload"
)

// What documents of cosign say of themselves.
const (
	artifactCosign      = "application/vnd.dev.cosign.artifact.sig.v1+json"
	artifactBundle      = "application/vnd.dev.sigstore.bundle"
	mediaTypePayload    = "application/vnd.dev.cosign.simplesigning.v1+json"
	annotationSignature = "dev.cosignproject.cosign/signature"
	mediaTypeStatement  = "application/vnd.in-toto+json"
	predicateSign       = "https://sigstore.dev/cosign/sign/v1"
)

// verifyCosign holds a payload of cosign ("simple signing") against its signature, and what it says against the image.
func verifyCosign(text []byte, signed string, of digest.Digest, trusted *Trusted) (*Authority, error) {
	raw, err := base64.StdEncoding.DecodeString(signed)
	if err != nil || len(raw) == 0 {
		return nil, errors.New("it has no signature that can be read")
	}
	by := trusted.by(func(v sigstore.Verifier) error { return v.VerifySignature(bytes.NewReader(raw), bytes.NewReader(text)) })
	if by == nil {
		return nil, trusted.noneOf()
	}
	var said payload.SimpleContainerImage
	if err := json.Unmarshal(text, &said); err != nil || said.Critical.Type != payload.CosignSignatureType {
		return nil, errors.New("what is signed is no image")
	}
	if said.Critical.Image.DockerManifestDigest != of.String() {
		return nil, fmt.Errorf("it is of another image, %.100s", said.Critical.Image.DockerManifestDigest)
	}
	return by, nil
}

// payloadOf is what cosign signs of an image.
func payloadOf(repository string, of digest.Digest) ([]byte, error) {
	var said payload.SimpleContainerImage
	said.Critical.Type = payload.CosignSignatureType
	said.Critical.Identity.DockerReference = repository
	said.Critical.Image.DockerManifestDigest = of.String()
	return json.Marshal(said)
}

// verifyBundle holds a bundle of sigstore (v0.3) against its signature, and its statement against the image. What it
// says of transparency logs and certificates is not looked at: the key is what is trusted.
func verifyBundle(text []byte, of digest.Digest, trusted *Trusted) (*Authority, error) {
	var bundle struct {
		Envelope *struct {
			Payload     []byte `json:"payload"`
			PayloadType string `json:"payloadType"`
			Signatures  []struct {
				Sig []byte `json:"sig"`
			} `json:"signatures"`
		} `json:"dsseEnvelope"`
	}
	if err := json.Unmarshal(text, &bundle); err != nil || bundle.Envelope == nil || len(bundle.Envelope.Signatures) != 1 {
		return nil, errors.New("it is no bundle with one signature of a statement")
	}
	signed := dsse.PAE(bundle.Envelope.PayloadType, bundle.Envelope.Payload)
	by := trusted.by(func(v sigstore.Verifier) error {
		return v.VerifySignature(bytes.NewReader(bundle.Envelope.Signatures[0].Sig), bytes.NewReader(signed))
	})
	if by == nil {
		return nil, trusted.noneOf()
	}
	var statement struct {
		Predicate string `json:"predicateType"`
		Subject   []struct {
			Digest map[string]string `json:"digest"`
		} `json:"subject"`
	}
	if err := json.Unmarshal(bundle.Envelope.Payload, &statement); err != nil || bundle.Envelope.PayloadType != mediaTypeStatement || statement.Predicate != predicateSign {
		return nil, errors.New("what is signed is no image")
	}
	if !slices.ContainsFunc(statement.Subject, func(s struct {
		Digest map[string]string `json:"digest"`
	}) bool {
		return strings.EqualFold(s.Digest[of.Algorithm().String()], of.Encoded())
	}) {
		return nil, errors.New("it is of another image")
	}
	return by, nil
}
