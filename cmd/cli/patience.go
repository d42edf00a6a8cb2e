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

// NoLonger bounds how long it is waited for the services of a project.
func NoLonger(ctx context.Context, project string, within time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, within, &NotReady{project, within})
}
