package outbound

import (
	"context"
	"net/http"

	"github.com/containerd/containerd/v2/core/remotes/docker"
)

// turns is an authorizer that is asked by one at a time.
type turns struct {
	docker.Authorizer
	turn chan struct{} // a semaphore of one
}

// InTurn has an authorizer asked by one request at a time: containerd's, asked by two for the same token, has one write
// what the other reads. Once there is a token, nobody waits for long.
func InTurn(a docker.Authorizer) docker.Authorizer {
	return &turns{Authorizer: a, turn: make(chan struct{}, 1)}
}

// Authorize implements docker.Authorizer.
func (t *turns) Authorize(ctx context.Context, req *http.Request) error {
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-t.turn }()
	return t.Authorizer.Authorize(ctx, req)
}
