package signing

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/orlop/orlop/api"
)

// TestOnlyAnImageIsSigned: see the risk.
//
// Risk supply chain: an engine, or who passes for one, sends something else to be signed than the image that was named
// Held: the command reads what it signs: it is the signature of that image in the format that was asked for, and nothing else
func TestOnlyAnImageIsSigned(t *testing.T) {
	is, other := digest.FromString("image"), digest.FromString("other")
	cosign := func(repository, of, kind, optional string) string {
		return fmt.Sprintf(`{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":%q},"optional":%s}`, repository, of, kind, optional)
	}
	encode := base64.RawURLEncoding.EncodeToString
	notation := func(header, payload string) string { return encode([]byte(header)) + "." + encode([]byte(payload)) }
	artifact := func(of digest.Digest) string {
		return fmt.Sprintf(`{"targetArtifact":{"digest":%q,"mediaType":"application/vnd.oci.image.manifest.v1+json","size":5}}`, of)
	}
	const header, repository, kind = `{"alg":"ES256","crit":["x"],"cty":"application/vnd.cncf.notary.payload.v1+json"}`, "registry.example/shop/api", "cosign container image signature"
	named := repository + ":1"
	for name, c := range map[string]struct{ named, format, algorithm, message, want string }{
		"cosign":                  {named, formatCosign, "cosign", cosign(repository, is.String(), kind, "null"), ""},
		"notation":                {named, formatNotation, "ES256", notation(header, artifact(is)), ""},
		"by its digest":           {repository + "@" + is.String(), formatCosign, "cosign", cosign(repository, is.String(), kind, "null"), ""},
		"by another digest":       {repository + "@" + other.String(), formatCosign, "cosign", cosign(repository, is.String(), kind, "null"), "is another image, " + is.String()},
		"notation, another":       {repository + "@" + other.String(), formatNotation, "ES256", notation(header, artifact(is)), "is another image, " + is.String()},
		"another repository":      {named, formatCosign, "cosign", cosign(repository+"2", is.String(), kind, "null"), `it is of the repository "registry.example/shop/api2"`},
		"another type":            {named, formatCosign, "cosign", cosign(repository, is.String(), "release", "null"), `it is of the type "release"`},
		"no digest":               {named, formatCosign, "cosign", cosign(repository, "latest", kind, "null"), "is no image"},
		"anything":                {named, formatCosign, "cosign", "I owe you", "it is no such document"},
		"more than that":          {named, formatCosign, "cosign", cosign(repository, is.String(), kind, `{"a":1}`), "it is no such document"},
		"twice":                   {named, formatCosign, "cosign", strings.Replace(cosign(repository, is.String(), kind, "null"), `"image":`, `"image":{"docker-manifest-digest":"x"},"Image":`, 1), "it says more than which image it is of"},
		"and something behind it": {named, formatCosign, "cosign", cosign(repository, is.String(), kind, "null") + "{}", "it says more than which image it is of"},
		"cosign as notation":      {named, formatCosign, "ES256", cosign(repository, is.String(), kind, "null"), `it asks for "ES256"`},
		"notation as cosign":      {named, formatNotation, "cosign", cosign(repository, is.String(), kind, "null"), "it is no JSON Web Signature"},
		"another token":           {named, formatNotation, "ES256", notation(`{"alg":"ES256","typ":"JWT"}`, artifact(is)), "its header is not that of a signature of the Notary Project"},
		"another algorithm":       {named, formatNotation, "ES256", notation(strings.Replace(header, "ES256", "PS256", 1), artifact(is)), "its header is not"},
		"another payload":         {named, formatNotation, "ES256", notation(header, `{"sub":"root"}`), "it is no such document"},
	} {
		got, err := said(&api.SignStart{Name: c.named, Format: c.format}, &api.ToSign{Message: []byte(c.message), Algorithm: c.algorithm})
		if c.want == "" && (err != nil || got != is) || c.want != "" && (err == nil || got != "" || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}
