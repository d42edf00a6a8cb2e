package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	sigstore "github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// Authority is a key, or a certificate, that is trusted.
type Authority struct {
	Name string // the file that it is from, as it was given
	ID   string // by which it is known again: a hash of the key or certificate itself

	verifiers   []sigstore.Verifier // of a key: one for each way to sign by it
	certificate *x509.Certificate
}

// Trusted are those whose signatures count.
type Trusted struct{ All []*Authority }

// AddKey adds the public key of a file in PEM.
func (t *Trusted) AddKey(name string, text []byte) error {
	key, err := cryptoutils.UnmarshalPEMToPublicKey(text)
	if err != nil {
		return fmt.Errorf("%s has no public key in PEM: write it with \"cosign public-key\" or \"openssl pkey -pubout\"", name)
	}
	a, err := ofKey(name, key)
	if err != nil {
		return err
	}
	t.All = append(t.All, a)
	return nil
}

// ofKey takes signatures of a key in both ways that are about: by SHA-256 or pure Ed25519, whatever the key, and by what
// cosign 3 signs with: SHA-384 of P-384, SHA-512 of P-521, Ed25519ph.
func ofKey(name string, key crypto.PublicKey) (*Authority, error) {
	if isWeak(key) {
		return nil, fmt.Errorf("the key of %s is not one to trust: RSA has 2048 bits at least, ECDSA is on P-256, P-384 or P-521", name)
	}
	verifier, err := sigstore.LoadVerifier(key, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("cannot verify by the key of %s: it is not one of ECDSA, RSA or Ed25519", name)
	}
	verifiers := []sigstore.Verifier{verifier}
	if own, err := sigstore.LoadDefaultVerifier(key, options.WithED25519ph()); err == nil { // else the key has only one way
		verifiers = append(verifiers, own)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("cannot verify by the key of %s: %w", name, err)
	}
	return &Authority{Name: name, ID: hashed(der), verifiers: verifiers}, nil
}

// isWeak says that a key is shorter than is held for safe.
func isWeak(key crypto.PublicKey) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() < 2048
	case *ecdsa.PublicKey:
		return key.Params().BitSize < 256
	}
	return false
}

// AddCertificates adds the certificates of a file in PEM: each is one that signatures are made by, or that signs those.
func (t *Trusted) AddCertificates(name string, text []byte) error {
	all, err := cryptoutils.UnmarshalCertificatesFromPEM(text)
	if err != nil || len(all) == 0 {
		return fmt.Errorf("%s has no certificate in PEM", name)
	}
	for _, c := range all {
		t.All = append(t.All, &Authority{Name: name, ID: hashed(c.Raw), certificate: c})
	}
	return nil
}

func hashed(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// IDs are those that authorities are known again by.
func (t *Trusted) IDs() (ids []string) {
	for _, a := range t.All {
		ids = append(ids, a.ID)
	}
	return ids
}

// by is the key that gives a check no error; nil if none does.
func (t *Trusted) by(check func(sigstore.Verifier) error) *Authority {
	for _, a := range t.All {
		if slices.ContainsFunc(a.verifiers, func(v sigstore.Verifier) bool { return check(v) == nil }) {
			return a
		}
	}
	return nil
}

func (t *Trusted) certificates() (all []*x509.Certificate) {
	for _, a := range t.All {
		if a.certificate != nil {
			all = append(all, a.certificate)
		}
	}
	return all
}

func (t *Trusted) of(c *x509.Certificate) *Authority {
	for _, a := range t.All {
		if a.certificate != nil && a.certificate.Equal(c) {
			return a
		}
	}
	return nil
}
