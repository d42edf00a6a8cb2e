package image

import (
	"context"
	"errors"
	"fmt"
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
		{fmt.Errorf("x: %w", docker.ErrInvalidAuthorization), "cannot pull app:1: the registry refused access: log in; credentials are read from Docker's config.json"},
		{answered(403, "403 Forbidden"), "cannot pull app:1: the registry refused access: log in; credentials are read from Docker's config.json"},
		{answered(429, "429 Too Many Requests"), "cannot pull app:1: the registry's rate limit is reached: log in, wait, or set a mirror"},
		{answered(503, "503 Service Unavailable"), "cannot pull app:1: the registry answers 503 Service Unavailable: try again later, or set a mirror"},
		{fmt.Errorf("unexpected commit digest a, expected b: %w", errdefs.ErrFailedPrecondition),
			"cannot pull app:1: digest mismatch: a registry, mirror or proxy damages what it hands on"},
		{errors.New("something else"), "cannot pull app:1: something else"},
	} {
		if got := pullError("app:1", c.err).Error(); got != c.want {
			t.Errorf("%v:\ngot  %s\nwant %s", c.err, got, c.want)
		}
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
