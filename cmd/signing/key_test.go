package signing

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
)

func must[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func write(t *testing.T, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestKeysAreRead in the forms that openssl and cosign write; what is none says what it is.
func TestKeysAreRead(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, ec, err)
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, r, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(ec)
	must(t, pkcs8, err)
	sec1, err := x509.MarshalECPrivateKey(ec)
	must(t, sec1, err)
	locked, err := encrypted.EncryptWithCustomKDFParameters(pkcs8, []byte("sesame"), encrypted.Legacy)
	must(t, locked, err)
	for name, c := range map[string]struct {
		kind string
		der  []byte
		env  map[string]string
		want string
	}{
		"PKCS 8":                  {kind: "PRIVATE KEY", der: pkcs8},
		"SEC 1":                   {kind: "EC PRIVATE KEY", der: sec1},
		"PKCS 1":                  {kind: "RSA PRIVATE KEY", der: x509.MarshalPKCS1PrivateKey(r)},
		"cosign":                  {kind: "ENCRYPTED SIGSTORE PRIVATE KEY", der: locked, env: map[string]string{PasswordVariable: "sesame"}},
		"cosign, old":             {kind: "ENCRYPTED COSIGN PRIVATE KEY", der: locked, env: map[string]string{PasswordVariable: "sesame"}},
		"cosign, locked":          {kind: "ENCRYPTED SIGSTORE PRIVATE KEY", der: locked, want: "it is encrypted: set COSIGN_PASSWORD to its password"},
		"cosign, wrong":           {kind: "ENCRYPTED SIGSTORE PRIVATE KEY", der: locked, env: map[string]string{PasswordVariable: ""}, want: "its password is another one than COSIGN_PASSWORD has"},
		"cosign, damaged":         {kind: "ENCRYPTED SIGSTORE PRIVATE KEY", der: locked[1:], env: map[string]string{PasswordVariable: "sesame"}, want: "it is damaged, or not encrypted as cosign does: "},
		"cosign, of another kind": {kind: "ENCRYPTED SIGSTORE PRIVATE KEY", der: bytes.Replace(locked, []byte("scrypt"), []byte("argon2"), 1), env: map[string]string{PasswordVariable: "sesame"}, want: `unknown kdf name "argon2"`},
		"public":                  {kind: "PUBLIC KEY", der: pkcs8, want: "it is the public one"},
		"openssl's":               {kind: "ENCRYPTED PRIVATE KEY", der: pkcs8, want: `it is encrypted, though not as cosign does`},
		"ssh":                     {kind: "OPENSSH PRIVATE KEY", der: pkcs8, want: "it holds \"OPENSSH PRIVATE KEY\", which is no private key of PKCS #8"},
		"damaged":                 {kind: "PRIVATE KEY", der: pkcs8[1:], want: "cannot use the key "},
	} {
		key, err := ReadKey(write(t, c.kind, c.der), passwordOf(c.env))
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) || (key == nil) != (err != nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What openssl ecparam -genkey writes without -noout.
	both := append(pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 0}}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})...)
	path := filepath.Join(t.TempDir(), "both")
	if err := os.WriteFile(path, both, 0o600); err != nil {
		t.Fatal(err)
	}
	if key, err := ReadKey(path, nil); err != nil || !ec.Equal(key) {
		t.Errorf("with its parameters before it: %v", err)
	}
	if _, err := ReadKey(write(t, "EC PARAMETERS", []byte{6, 0}), nil); err == nil || !strings.HasSuffix(err.Error(), "has no key in PEM") {
		t.Errorf("%v", err)
	}
	if _, err := ReadKey(filepath.Join(t.TempDir(), "absent"), nil); err == nil || !strings.HasPrefix(err.Error(), "cannot read the key: ") {
		t.Errorf("%v", err)
	}
}

// TestSignaturesAreThoseOfTheirAlgorithm, by the verifier of Go's own library.
func TestSignaturesAreThoseOfTheirAlgorithm(t *testing.T) {
	message := []byte("what is signed")
	sum256, sum384, sum512 := sha256.Sum256(message), sha512.Sum384(message), sha512.Sum512(message)
	ec := func(c elliptic.Curve) *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		return must(t, k, err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, r, err)
	public, ed, err := ed25519.GenerateKey(rand.Reader)
	must(t, ed, err)
	p256, p384, p521 := ec(elliptic.P256()), ec(elliptic.P384()), ec(elliptic.P521())
	joined := func(k *ecdsa.PrivateKey, sum []byte) func([]byte) bool {
		return func(raw []byte) bool {
			half := len(raw) / 2
			return len(raw) == 2*((k.Params().BitSize+7)/8) && ecdsa.Verify(&k.PublicKey, sum, new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:]))
		}
	}
	for name, c := range map[string]struct {
		key       crypto.Signer
		algorithm string
		isRight   func(raw []byte) bool
	}{
		"ECDSA as cosign":   {p256, "cosign", func(raw []byte) bool { return ecdsa.VerifyASN1(&p256.PublicKey, sum256[:], raw) }},
		"P-384 as cosign":   {p384, "cosign", func(raw []byte) bool { return ecdsa.VerifyASN1(&p384.PublicKey, sum256[:], raw) }},
		"RSA as cosign":     {r, "cosign", func(raw []byte) bool { return rsa.VerifyPKCS1v15(&r.PublicKey, crypto.SHA256, sum256[:], raw) == nil }},
		"Ed25519 as cosign": {ed, "cosign", func(raw []byte) bool { return ed25519.Verify(public, message, raw) }},
		"ES256":             {p256, "ES256", joined(p256, sum256[:])}, "ES384": {p384, "ES384", joined(p384, sum384[:])}, "ES512": {p521, "ES512", joined(p521, sum512[:])},
		"PS256": {r, "PS256", func(raw []byte) bool { return rsa.VerifyPSS(&r.PublicKey, crypto.SHA256, sum256[:], raw, nil) == nil }},
	} {
		for range 20 { // now and then a number is shorter
			if raw, err := Sign(c.key, message, c.algorithm); err != nil || !c.isRight(raw) {
				t.Errorf("%s: %x, %v", name, raw, err)
				break
			}
		}
	}
	for algorithm, key := range map[string]crypto.Signer{"ES256": r, "PS256": p256, "PS512": ed, "ES1": p256, "": r} {
		if raw, err := Sign(key, message, algorithm); err == nil {
			t.Errorf("%s of a %T: %x", algorithm, key, raw)
		}
	}
}
