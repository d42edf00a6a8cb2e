package push

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/retry"
)

// pace is how time passes.
type pace struct {
	now    func() time.Time
	sleep  func(ctx context.Context, d time.Duration) error
	random func() float64 // from 0 to 1
}

// worlds is the pace of the world.
func worlds() pace { return pace{now: time.Now, sleep: retry.Sleep, random: rand.Float64} }

// passes says whether what failed may succeed when it is tried again.
func passes(err error) bool {
	if r, ok := errors.AsType[*refusal](err); ok {
		switch r.status {
		case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
			http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	if errors.Is(err, context.Canceled) {
		return false
	}
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}

// patiently calls try until it succeeds, fails for good, or was tried enough.
func (r *repository) patiently(ctx context.Context, try func() error) error {
	for attempt := 1; ; attempt++ {
		err := try()
		if err == nil || attempt == retry.Attempts || !passes(err) || ctx.Err() != nil {
			return err
		}
		if err := r.pause(ctx, attempt, err); err != nil {
			return err
		}
	}
}

// pause waits before the next of some attempts, as long as its failure asks for.
func (r *repository) pause(ctx context.Context, attempt int, failed error) error {
	d := retry.Pause(attempt, r.way.random())
	if no, ok := errors.AsType[*refusal](failed); ok && no.after > 0 {
		if no.after > retry.Longest {
			return &tooLong{no}
		}
		d = max(d, no.after)
	}
	if d >= time.Second {
		r.waits(fmt.Sprintf("the registry is busy: again in %d s", int64(d.Round(time.Second)/time.Second)))
		defer r.waits("")
	}
	if err := r.way.sleep(ctx, d); err != nil {
		return errors.Join(err, failed)
	}
	return nil
}

// tooLong is a registry that wants to be asked again later than anybody waits.
type tooLong struct{ *refusal }

func (e *tooLong) Error() string {
	return fmt.Sprintf("%v, and asks to wait for %v", e.refusal, e.after.Round(time.Second))
}

func (e *tooLong) Unwrap() error { return e.refusal }
