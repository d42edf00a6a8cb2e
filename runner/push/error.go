package push

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"golang.org/x/sys/unix"
)

// inWords says why a push failed and what to do, per cause.
func inWords(ref string, repo *repository, err error) error {
	if repo == nil {
		return fmt.Errorf("cannot push %s: %w", ref, err)
	}
	no, _ := errors.AsType[*refusal](err)
	if no == nil {
		no = &refusal{}
	}
	if why := refused(repo, no, err); why != "" {
		return &failure{fmt.Sprintf("cannot push %s: %s", ref, why), err}
	}
	if why := Unreachable(repo.host.Host, err); why != "" {
		return &failure{fmt.Sprintf("cannot push %s: %s", ref, why), err}
	}
	if _, isLong := errors.AsType[*tooLong](err); !isLong && no.status != 0 {
		err = no
	}
	return fmt.Errorf("cannot push %s: %w", ref, err)
}

// IsUnknownKind says that a registry does not take what it was sent for what it is: neither for who
// sends it nor for the moment.
func IsUnknownKind(err error) bool {
	no, ok := errors.AsType[*refusal](err)
	if !ok {
		return false
	}
	switch no.status {
	case http.StatusBadRequest, http.StatusNotAcceptable, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusMethodNotAllowed:
		return true
	}
	return no.status == http.StatusNotFound && no.code == "MANIFEST_INVALID"
}

// failure is an error in the words of who can do something about it.
type failure struct {
	text string
	err  error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.err }

// refused is what an answer means, "" if it says that itself.
func refused(repo *repository, no *refusal, err error) string {
	text := err.Error()
	switch {
	case no.code == "NAME_UNKNOWN", no.status == http.StatusNotFound && no.code == "":
		return fmt.Sprintf("%s has no repository %s: create it there first, or check the name", repo.named, repo.name)
	case no.code == "NAME_INVALID":
		return fmt.Sprintf("%s takes no repository of the name %s", repo.named, repo.name)
	case no.status == http.StatusForbidden, no.code == "DENIED", strings.Contains(text, "insufficient_scope"):
		return fmt.Sprintf("%s denies it%s: log in with \"orlop login %s\" as a user who may push to %s; some registries want the repository to be created first",
			repo.named, why(no), repo.named, repo.name)
	case no.status == http.StatusUnauthorized, errors.Is(err, docker.ErrInvalidAuthorization):
		return fmt.Sprintf("%s wants a login: run \"orlop login %s\"", repo.named, repo.named)
	case no.status == http.StatusRequestEntityTooLarge:
		return fmt.Sprintf("a layer is larger than %s, or a proxy before it, takes", repo.named)
	case no.status == http.StatusTooManyRequests:
		return fmt.Sprintf("%s is asked too often%s: wait, or log in with \"orlop login %s\"", repo.named, waiting(err), repo.named)
	case no.status >= http.StatusInternalServerError:
		return fmt.Sprintf("the registry answers %d %s%s%s: try again later", no.status, http.StatusText(no.status), why(no), waiting(err))
	}
	return ""
}

// why is what a registry says itself, in brackets.
func why(no *refusal) string {
	if text := cmp.Or(no.message, no.code); text != "" {
		return " (" + text + ")"
	}
	return ""
}

// waiting says for how long a registry wants to be left alone that nobody waits for.
func waiting(err error) string {
	long, ok := errors.AsType[*tooLong](err)
	if !ok {
		return ""
	}
	return fmt.Sprintf(", and asks to wait for %v", long.after)
}

// Unreachable says why a registry was not reached and what to do; "" where it was.
func Unreachable(host string, err error) string {
	text := err.Error()
	certificate, isUnknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, isNameless := errors.AsType[x509.HostnameError](err)
	_, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	dns, isDNS := errors.AsType[*net.DNSError](err)
	switch {
	case strings.Contains(text, "server gave HTTP response to HTTPS client"):
		return fmt.Sprintf("%s speaks http without TLS: if that is meant, set registries: {%q: {http: true}} in engine.yaml", host, host)
	case isUnknown:
		return fmt.Sprintf("the certificate of %s is not trusted (%v): name its authority with registries: {%q: {ca: [FILE]}} in engine.yaml", host, certificate, host)
	case isNameless, isInvalid:
		return fmt.Sprintf("the certificate of %s is not valid: %v", host, root(err))
	case isDNS && dns.IsNotFound:
		return fmt.Sprintf("there is no host %s: check the name", dns.Name)
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH), isDNS:
		return fmt.Sprintf("%s can't be reached (%v): check the name and the network", host, root(err))
	case passes(err):
		return fmt.Sprintf("the connection to %s breaks again and again (%v): check the network", host, root(err))
	}
	return ""
}

// root is the innermost cause.
func root(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
