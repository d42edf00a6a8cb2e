package signature

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	notary "github.com/notaryproject/notation-core-go/signature"
	_ "github.com/notaryproject/notation-core-go/signature/cose" // an envelope that is read
	"github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// What documents of the Notary Project say of themselves (Notary Project OCI Signature Specification).
const (
	artifactNotation     = "application/vnd.cncf.notary.signature"
	payloadNotation      = "application/vnd.cncf.notary.payload.v1+json"
	annotationThumbprint = "io.cncf.notary.x509chain.thumbprint#S256"
)

// target is what a signature of the Notary Project is of.
type target struct {
	Artifact struct {
		MediaType string        `json:"mediaType"`
		Digest    digest.Digest `json:"digest"`
		Size      int64         `json:"size"`
	} `json:"targetArtifact"`
}

// verifyNotation holds an envelope against its own certificates, these against those that are trusted, and what it says
// against the image. A certificate that was withdrawn is not noticed: nobody is asked but the registry.
func verifyNotation(mediaType string, text []byte, of digest.Digest, trusted *Trusted, now time.Time) (signer string, by *Authority, err error) {
	envelope, err := notary.ParseEnvelope(mediaType, text)
	if err != nil {
		return "", nil, fmt.Errorf("it can't be read as %.100s", mediaType)
	}
	content, err := envelope.Verify()
	if err != nil {
		return "", nil, fmt.Errorf("it is damaged: %w", err)
	}
	info := &content.SignerInfo
	signer = info.CertificateChain[0].Subject.String()
	list := trusted.certificates()
	if len(list) == 0 {
		return signer, nil, errors.New("no certificate is trusted")
	}
	anchor, err := notary.VerifyAuthenticity(info, list)
	if err != nil {
		return signer, nil, errors.New("none of the certificates has made it")
	}
	var said target
	if err := json.Unmarshal(content.Payload.Content, &said); err != nil || content.Payload.ContentType != payloadNotation {
		return signer, nil, errors.New("what is signed is no image")
	}
	if said.Artifact.Digest != of {
		return signer, nil, fmt.Errorf("it is of another image, %.100s", said.Artifact.Digest)
	}
	if err := checkAttributes(info, now); err != nil {
		return signer, nil, err
	}
	return signer, trusted.of(anchor), nil
}

// checkAttributes refuses what is no longer valid, and what demands to be understood and is not.
func checkAttributes(info *notary.SignerInfo, now time.Time) error {
	said := info.SignedAttributes
	if said.SigningScheme != notary.SigningSchemeX509 {
		return fmt.Errorf("its signing scheme %.100q is not supported", said.SigningScheme)
	}
	for _, a := range said.ExtendedAttributes {
		if a.Critical {
			return fmt.Errorf("it demands that %.100v is looked at, which is not supported", a.Key)
		}
	}
	if !said.Expiry.IsZero() && now.After(said.Expiry) {
		return fmt.Errorf("it has expired at %s", said.Expiry.UTC().Format(time.RFC3339))
	}
	for _, c := range info.CertificateChain {
		if now.Before(c.NotBefore) || now.After(c.NotAfter) {
			return fmt.Errorf("the certificate of %s is valid from %s to %s alone", c.Subject, c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly))
		}
	}
	return nil
}

// notationPayload is what the Notary Project signs of an image.
func notationPayload(of ocispec.Descriptor) ([]byte, error) {
	var said target
	said.Artifact.MediaType, said.Artifact.Digest, said.Artifact.Size = of.MediaType, of.Digest, of.Size
	return json.Marshal(said)
}

// notationMediaType is that of the envelopes that are made.
const notationMediaType = jws.MediaTypeEnvelope
