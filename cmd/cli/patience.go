package cli

import (
	"context"
	"fmt"
	"time"
)

// NotReady is the end of a wait for services that were not ready in time.
type NotReady struct {
	Project string
	Within  time.Duration
}

func (e *NotReady) Error() string {
	return fmt.Sprintf("%s is not ready after %s: what runs goes on; see \"orlop ps\"", e.Project, e.Within)
}

// NoLonger bounds how long it is waited for the services of a project. The engine is not told of it: it would end the wait at the same
// moment, in words of its own.
func NoLonger(ctx context.Context, project string, within time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(within, func() { cancel(&NotReady{project, within}) })
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}
