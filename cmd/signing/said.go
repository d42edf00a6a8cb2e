package signing

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/orlop/orlop/api"
)

// The engine says what is signed, and the key is the caller's. So a message is read before it is signed: it is one of the
// image that was named and of nothing else, whoever the engine is.

// payloadCosign is what cosign signs of an image.
type payloadCosign struct {
	Critical struct {
		Identity struct {
			Reference string `json:"docker-reference"`
		} `json:"identity"`
		Image struct {
			Digest digest.Digest `json:"docker-manifest-digest"`
		} `json:"image"`
		Type string `json:"type"`
	} `json:"critical"`
	Optional *struct{} `json:"optional"`
}

// payloadNotation is what the Notary Project signs of an image: in a JSON Web Signature its keys are sorted.
type payloadNotation struct {
	Artifact struct {
		Digest    digest.Digest `json:"digest"`
		MediaType string        `json:"mediaType"`
		Size      int64         `json:"size"`
	} `json:"targetArtifact"`
}

const (
	typeCosign   = "cosign container image signature"
	typeNotation = "application/vnd.cncf.notary.payload.v1+json"
)

// said is the digest of the image that a message is a signature of, if it is one of the image that start names.
func said(start *api.SignStart, m *api.ToSign) (digest.Digest, error) {
	named, err := reference.ParseNormalizedNamed(start.Name)
	if err != nil {
		return "", fmt.Errorf("%q is not an image reference: %w", start.Name, err)
	}
	read := saidByNotation
	if start.Format == formatCosign {
		read = func(m *api.ToSign) (digest.Digest, error) { return saidByCosign(named.Name(), m) }
	}
	is, err := read(m)
	if err == nil {
		err = is.Validate()
	}
	if err != nil {
		return "", fmt.Errorf("what the engine sends to be signed is no image: %w: is it an engine that you trust, of this version?", err)
	}
	if want, ok := named.(reference.Digested); ok && start.Platform == "" && want.Digest() != is {
		return "", fmt.Errorf("what the engine sends to be signed is another image, %s", is)
	}
	return is, nil
}

func saidByCosign(repository string, m *api.ToSign) (digest.Digest, error) {
	var p payloadCosign
	if err := exactly(m.GetMessage(), &p); err != nil {
		return "", err
	}
	switch {
	case m.GetAlgorithm() != formatCosign:
		return "", fmt.Errorf("it asks for %.20q", m.GetAlgorithm())
	case p.Critical.Type != typeCosign:
		return "", fmt.Errorf("it is of the type %.60q", p.Critical.Type)
	case p.Critical.Identity.Reference != repository:
		return "", fmt.Errorf("it is of the repository %.200q", p.Critical.Identity.Reference)
	}
	return p.Critical.Image.Digest, nil
}

// saidByNotation reads what a JSON Web Signature is made of (RFC 7515, 5.1): a header, a dot, and a payload.
func saidByNotation(m *api.ToSign) (digest.Digest, error) {
	first, second, ok := bytes.Cut(m.GetMessage(), []byte("."))
	header, err := base64.RawURLEncoding.Strict().DecodeString(string(first))
	text, failed := base64.RawURLEncoding.Strict().DecodeString(string(second))
	if err = errors.Join(err, failed); err != nil || !ok {
		return "", errors.New("it is no JSON Web Signature")
	}
	var h struct {
		Algorithm string `json:"alg"`
		Type      string `json:"cty"`
	}
	if err := json.Unmarshal(header, &h); err != nil || h.Type != typeNotation || h.Algorithm != m.GetAlgorithm() || h.Algorithm == formatCosign {
		return "", errors.New("its header is not that of a signature of the Notary Project")
	}
	var p payloadNotation
	err = exactly(text, &p)
	return p.Artifact.Digest, err
}

// exactly reads a document that says what its type has and not a word more, in its order: of one that says something
// twice, two readers might see two images.
func exactly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return errors.New("it is no such document")
	}
	again, err := json.Marshal(into)
	if err != nil || !bytes.Equal(again, text) {
		return errors.New("it says more than which image it is of")
	}
	return nil
}
