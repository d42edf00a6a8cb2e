package image

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

var (
	// otherDigest is what containerd says of content that is not what was asked for.
	otherDigest = regexp.MustCompile(`unexpected commit digest (\S+), expected (\S+?):? `)
	// otherSize is what it says of content that is longer or shorter.
	otherSize = regexp.MustCompile(`unexpected commit size (\d+), expected (\d+)|read (?:past|exceeds) expected size (\d+)`)
	// largeManifest is what it says of a manifest that it does not read.
	largeManifest = regexp.MustCompile(`rejecting (\d+) byte manifest`)
	// jargon is what containerd puts before a cause: names of its functions and of
	// places that a user can't look at.
	jargon = regexp.MustCompile(`^(?:.*mount callback failed on \S+|apply layer error for "[^"]*"|failed to extract layer(?: \([^)]*\))? \S+|` +
		`failed to (?:copy|commit|mount|prepare|stat|apply|unpack|resolve|fetch|open|get)[^:]*|unpack|failed commit on ref "[^"]*"|failed to ingest "[^"]*"): `)
)

// pullError says why a pull failed and what to do, per cause.
func pullError(ref string, err error) error {
	err = RegistryError("cannot pull "+ref+": ", ref, err)
	if strings.HasSuffix(err.Error(), mirrorHint) {
		return fmt.Errorf("%w; an image from elsewhere is loaded with \"orlop image load\"", err)
	}
	return err
}

// mirrorHint is what to do about a registry that can't be reached.
const mirrorHint = "(the registry can't be reached: check the network, or set a mirror)"

// RegistryError says why a registry did not give what was asked for of an image, and what to do, per cause; what is said before it.
func RegistryError(what, ref string, err error) error {
	status, _ := errors.AsType[remoteerrors.ErrUnexpectedStatus](err)
	text := err.Error()
	cut, isCut := errors.AsType[*cutBlob](err)
	refused, isRefused := errors.AsType[*refusal](err)
	switch {
	case isRefused:
		return refused.error
	case isCut:
		return fmt.Errorf("%s%w", what, cut)
	case largeManifest.MatchString(text):
		return fmt.Errorf("%sits manifest has %s bytes, more than the %d that one may have", what, largeManifest.FindStringSubmatch(text)[1], docker.MaxManifestSize)
	case errdefs.IsNotFound(err):
		return fmt.Errorf("image %s does not exist in its registry: check the name and the tag", ref)
	case errdefs.IsUnauthorized(err), errors.Is(err, docker.ErrInvalidAuthorization), strings.Contains(text, "insufficient_scope"),
		status.StatusCode == http.StatusUnauthorized, status.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%sthe registry refused access: log in with \"orlop login%s\"", what, registryOf(ref))
	case status.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("%sthe registry's rate limit is reached: log in, wait, or set a mirror", what)
	case status.StatusCode >= http.StatusInternalServerError:
		return fmt.Errorf("%sthe registry answers %s: try again later, or set a mirror", what, status.Status)
	case otherDigest.MatchString(text), otherSize.MatchString(text):
		return fmt.Errorf("%s%s: a registry, mirror or proxy damages what it hands on", what, mismatch(text))
	case strings.Contains(text, "server gave HTTP response to HTTPS client"):
		return fmt.Errorf("%s%s speaks http without TLS: if that is meant, set registries: {%q: {http: true}} in engine.yaml", what, domainOf(ref), domainOf(ref))
	case isAs[x509.UnknownAuthorityError](err):
		return fmt.Errorf("%sthe certificate of %s is not trusted: name its authority with registries: {%q: {ca: [FILE]}} in engine.yaml", what, domainOf(ref), domainOf(ref))
	case isAs[*net.DNSError](err), strings.Contains(text, "no such host"), strings.Contains(text, "connection refused"),
		strings.Contains(text, "i/o timeout"), strings.Contains(text, "network is unreachable"), errdefs.IsUnavailable(err):
		return fmt.Errorf("%s%w %s", what, rootCause(err), mirrorHint)
	}
	return fmt.Errorf("%s%w", what, plainError(err))
}

// registryOf is the registry of a reference as "orlop login" takes it, after a space; "" for Docker Hub.
func registryOf(ref string) string {
	if host := domainOf(ref); host != "" && host != "docker.io" {
		return " " + host
	}
	return ""
}

// domainOf is the registry of a reference.
func domainOf(ref string) string {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return ""
	}
	return reference.Domain(named)
}

func isAs[E error](err error) bool {
	_, is := errors.AsType[E](err)
	return is
}

// mismatch says what came in place of what was asked for.
func mismatch(text string) string {
	if m := otherDigest.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("digest mismatch: wanted %s, got %s", m[2], m[1])
	}
	m := otherSize.FindStringSubmatch(text)
	if m[3] != "" {
		return fmt.Sprintf("digest mismatch: more than the %s bytes that its manifest tells of", m[3])
	}
	return fmt.Sprintf("digest mismatch: %s bytes in place of the %s that its manifest tells of", m[1], m[2])
}

// plainError is an error of containerd without what it says of itself: the cause alone
// where that has words of its own, not only a kind ("failed precondition").
func plainError(err error) error {
	text := err.Error()
	for {
		rest := jargon.ReplaceAllString(text, "")
		if rest == text {
			break
		}
		text = rest
	}
	if text == err.Error() {
		return err
	}
	return &plain{text, err}
}

// plain is an error in other words.
type plain struct {
	text string
	err  error
}

func (p *plain) Error() string { return p.text }
func (p *plain) Unwrap() error { return p.err }

// rootCause drops the layers of context that name only functions.
func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
