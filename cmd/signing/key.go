// Package signing has the verbs about signatures of images. Private keys are read and used here alone: no other process
// is told one.
package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/orlop/orlop/spec/userfile"
)

// PasswordVariable has the password of a key that cosign has encrypted, as cosign itself takes it.
const PasswordVariable = "COSIGN_PASSWORD"

// ReadKey reads a private key in PEM: of cosign, which password decrypts, or of PKCS #8, PKCS #1 or SEC 1.
func ReadKey(path string, password func() (string, error)) (crypto.Signer, error) {
	text, err := userfile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the key: %w", err)
	}
	block, rest := pem.Decode(text)
	for block != nil && block.Type == "EC PARAMETERS" { // openssl ecparam -genkey writes them before the key, which has them too
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return nil, fmt.Errorf("%s has no key in PEM", path)
	}
	key, err := parse(block, password)
	if err != nil {
		return nil, fmt.Errorf("cannot use the key %s: %w", path, err)
	}
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		return key, nil
	case *rsa.PrivateKey:
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("cannot use the key %s: it is not one of ECDSA, RSA or Ed25519", path)
}

// wrongPassword is the one error of the library that a password is to blame for, which it has no name for.
const wrongPassword = "encrypted: decryption failed"

func parse(block *pem.Block, password func() (string, error)) (any, error) {
	switch block.Type {
	case "ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY":
		secret, err := password()
		if err != nil {
			return nil, err
		}
		der, err := encrypted.Decrypt(block.Bytes, []byte(secret))
		switch {
		case err != nil && err.Error() == wrongPassword:
			return nil, fmt.Errorf("its password is another one than %s has: set it right", PasswordVariable)
		case err != nil:
			return nil, fmt.Errorf("it is damaged, or not encrypted as cosign does: %w", err)
		}
		return x509.ParsePKCS8PrivateKey(der)
	case "PRIVATE KEY":
		return x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "PUBLIC KEY":
		return nil, errors.New("it is the public one, by which others verify: name the private one")
	case "ENCRYPTED PRIVATE KEY":
		return nil, errors.New(`it is encrypted, though not as cosign does: make it one of cosign's with "cosign import-key-pair"`)
	}
	return nil, fmt.Errorf("it holds %.60q, which is no private key of PKCS #8, PKCS #1, SEC 1 or cosign", block.Type)
}

// Sign signs a message by one of the algorithms of api.ToSign.
func Sign(key crypto.Signer, message []byte, algorithm string) ([]byte, error) {
	if algorithm == "cosign" {
		if _, isEd := key.(ed25519.PrivateKey); isEd {
			return key.Sign(rand.Reader, message, crypto.Hash(0))
		}
		sum := sha256.Sum256(message)
		return key.Sign(rand.Reader, sum[:], crypto.SHA256)
	}
	kind, bits, _ := cut(algorithm)
	hash, ok := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[bits]
	if !ok {
		return nil, fmt.Errorf("internal error: no such algorithm as %q", algorithm)
	}
	h := hash.New()
	h.Write(message)
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if kind == "PS" {
			return key.Sign(rand.Reader, h.Sum(nil), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash})
		}
	case *ecdsa.PrivateKey:
		if kind == "ES" {
			der, err := key.Sign(rand.Reader, h.Sum(nil), hash)
			if err != nil {
				return nil, err
			}
			return joined(der, (key.Params().BitSize+7)/8)
		}
	}
	return nil, errors.New("the key does not fit the certificate, or is not one that the Notary Project signs by: take one of RSA or ECDSA")
}

func cut(algorithm string) (kind, bits string, ok bool) {
	if len(algorithm) != 5 {
		return "", "", false
	}
	return algorithm[:2], algorithm[2:], true
}

// joined is a signature of ECDSA as RFC 7518 has it: both numbers in as many bytes as the curve's.
func joined(der []byte, size int) ([]byte, error) {
	var pair struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &pair); err != nil || len(rest) > 0 {
		return nil, errors.New("internal error: a signature can't be read")
	}
	raw := make([]byte, 2*size)
	pair.R.FillBytes(raw[:size])
	pair.S.FillBytes(raw[size:])
	return raw, nil
}

// ReadCertificates are those of a file in PEM, in their order.
func ReadCertificates(path string) (der [][]byte, err error) {
	text, err := userfile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the certificate: %w", err)
	}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			der = append(der, block.Bytes)
		}
	}
	if len(der) == 0 {
		return nil, fmt.Errorf("%s has no certificate in PEM", path)
	}
	return der, nil
}

// passwordOf has the password of the environment, and says what is lacking without one.
func passwordOf(env map[string]string) func() (string, error) {
	return func() (string, error) {
		if secret, ok := env[PasswordVariable]; ok {
			return secret, nil
		}
		return "", fmt.Errorf("it is encrypted: set %s to its password", PasswordVariable)
	}
}
