package schedule

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/failpoint"
	"github.com/orlop/orlop/spec/cron"
)

// Wall is the machine's clock.
type Wall struct{}

// Now is the time in the machine's time zone, without Go's own clock: a sleep of the
// machine counts.
func (Wall) Now() time.Time {
	now := time.Now()
	if set, ok := failpoint.Clock(); ok {
		now = set
	}
	return now.Round(0).In(cron.Machine())
}

// recheck is how long is waited at most where the kernel does not tell that a clock was set.
const recheck = time.Minute

// Wait implements Clock. The kernel ends it as well when the clock is set.
func (w Wall) Wait(ctx context.Context, until time.Time, wake <-chan struct{}) {
	if _, ok := failpoint.Clock(); ok {
		waitFor(ctx, 20*time.Millisecond, wake) // a test sets it as it likes
		return
	}
	if until.IsZero() {
		select {
		case <-ctx.Done():
		case <-wake:
		}
		return
	}
	timer, err := armed(until)
	if err != nil {
		waitFor(ctx, min(recheck, max(0, until.Sub(w.Now()))), wake)
		return
	}
	expired := make(chan struct{})
	go func() {
		defer close(expired)
		var count [8]byte
		_, _ = timer.Read(count[:]) // an error tells that the clock was set, or that it was closed
	}()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-expired:
	}
	timer.Close()
	<-expired
}

// armed is a timer of the kernel that can be read at a time, or when the clock is set.
func armed(until time.Time) (*os.File, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	at := &unix.ItimerSpec{Value: unix.NsecToTimespec(until.UnixNano())}
	if err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, at, nil); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "timer"), nil
}

func waitFor(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-timer.C:
	}
}
