package image

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
)

func answered(code int, text string) error {
	return fmt.Errorf("pulling: %w", remoteerrors.ErrUnexpectedStatus{StatusCode: code, Status: text})
}

func TestPullErrorsSayTheCauseAndWhatToDo(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("x: %w", errdefs.ErrNotFound), "image app:1 does not exist in its registry: check the name and the tag"},
		{fmt.Errorf("x: %w", docker.ErrInvalidAuthorization), `cannot pull app:1: the registry refused access: log in with "orlop login"`},
		{answered(403, "403 Forbidden"), `cannot pull app:1: the registry refused access: log in with "orlop login"`},
		{errors.New("Get \"https://r\": http: server gave HTTP response to HTTPS client"), `cannot pull app:1: docker.io speaks http without TLS: if that is meant, set registries: {"docker.io": {http: true}} in engine.yaml`},
		{fmt.Errorf("x: %w", x509.UnknownAuthorityError{}), `cannot pull app:1: the certificate of docker.io is not trusted: name its authority with registries: {"docker.io": {ca: [FILE]}} in engine.yaml`},
		{answered(429, "429 Too Many Requests"), "cannot pull app:1: the registry's rate limit is reached: log in, wait, or set a mirror"},
		{answered(503, "503 Service Unavailable"), "cannot pull app:1: the registry answers 503 Service Unavailable: try again later, or set a mirror"},
		{fmt.Errorf("failed commit on ref \"layer-b\": unexpected commit digest sha256:a, expected sha256:b: %w", errdefs.ErrFailedPrecondition),
			"cannot pull app:1: digest mismatch: wanted sha256:b, got sha256:a: a registry, mirror or proxy damages what it hands on"},
		{fmt.Errorf("failed to copy: httpReadSeeker: read past expected size 7: %w", errdefs.ErrFailedPrecondition),
			"cannot pull app:1: digest mismatch: more than the 7 bytes that its manifest tells of: a registry, mirror or proxy damages what it hands on"},
		{fmt.Errorf("unexpected commit size 3, expected 9: %w", errdefs.ErrFailedPrecondition),
			"cannot pull app:1: digest mismatch: 3 bytes in place of the 9 that its manifest tells of: a registry, mirror or proxy damages what it hands on"},
		{fmt.Errorf("failed to resolve reference \"app:1\": rejecting 9000000 byte manifest for app:1: %w", errdefs.ErrNotFound),
			"cannot pull app:1: its manifest has 9000000 bytes, more than the 4393216 that one may have"},
		{errors.New("unpack: failed to extract layer (application/vnd.oci.image.layer.v1.tar+gzip sha256:ab) to overlayfs as \"extract-1 sha256:cd\": mount callback failed on /tmp/containerd-mount1: archive/tar: invalid tar header"),
			"cannot pull app:1: archive/tar: invalid tar header"},
		{&cutBlob{"layer", "sha256:ab", 3, 9}, "cannot pull app:1: layer sha256:ab ends after 3 of 9 bytes, again and again: the registry, or a proxy before it, cuts it off"},
		{errors.New("something else"), "cannot pull app:1: something else"},
		{fmt.Errorf("failed to resolve reference \"app:1\": %w", &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "server misbehaving", Name: "r"}}),
			"cannot pull app:1: lookup r: server misbehaving (the registry can't be reached: check the network, or set a mirror); an image from elsewhere is loaded with \"orlop image load\""},
		{errors.New("dial tcp: connection refused"),
			"cannot pull app:1: dial tcp: connection refused (the registry can't be reached: check the network, or set a mirror); an image from elsewhere is loaded with \"orlop image load\""},
	} {
		if got := pullError("app:1", c.err).Error(); got != c.want {
			t.Errorf("%v:\ngot  %s\nwant %s", c.err, got, c.want)
		}
	}
	if got := RegistryError("its digest cannot be looked up: ", "app:1", answered(403, "")).Error(); !strings.HasPrefix(got, "its digest cannot be looked up: the registry refused") || strings.Contains(got, "pull") {
		t.Errorf("of what is no pull it is said %s", got)
	}
}

func TestPullIsTriedAgainOnlyWhenThatMayHelp(t *testing.T) {
	for _, c := range []struct {
		name  string
		fail  int // how often it fails first
		err   error
		calls int
		ok    bool
	}{
		{"registry in trouble for a moment", 3, answered(503, "503"), 4, true},
		{"registry in trouble for long", 99, answered(502, "502"), pullAttempts, false},
		{"access refused", 99, answered(401, "401"), 1, false},
		{"wrong digest", 99, errdefs.ErrFailedPrecondition, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				err := trying(t.Context(), func() error {
					if calls++; calls <= c.fail {
						return c.err
					}
					return nil
				})
				if calls != c.calls || (err == nil) != c.ok {
					t.Errorf("%d calls and %v, want %d", calls, err, c.calls)
				}
			})
		})
	}
}

func TestPullGivesUpWhenItsCallerDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := trying(ctx, func() error { return answered(503, "503") }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}
