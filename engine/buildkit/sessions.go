package buildkit

import (
	"context"
	"fmt"
	"time"
)

// sessionPatience is how long the command that asked for a build may take to
// connect its session. BuildKit's own is 5 s, which a busy machine needs.
const sessionPatience = time.Minute

// AwaitSession waits until the session of a build is connected; "" is none.
func (k *Kit) AwaitSession(ctx context.Context, id string) error {
	if id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, sessionPatience, fmt.Errorf("it did not connect within %s", sessionPatience))
	defer cancel()
	if _, err := k.Sessions.Get(ctx, id, false); err != nil {
		return fmt.Errorf("cannot build without the command that asked for it, which lends the files: %w", err)
	}
	return nil
}
