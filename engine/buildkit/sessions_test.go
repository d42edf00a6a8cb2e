package buildkit

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"

	"github.com/moby/buildkit/session"
)

func TestABuildWaitsForItsSession(t *testing.T) { synctest.Test(t, awaitLateSession) }

func awaitLateSession(t *testing.T) {
	manager, err := session.NewManager()
	if err != nil {
		t.Fatal(err)
	}
	k := &Kit{Sessions: manager}
	s, err := session.NewSession(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	done := make(chan error, 1)
	go func() { done <- k.AwaitSession(t.Context(), s.ID()) }()
	synctest.Wait() // until it can do no more without its session
	if len(done) > 0 {
		t.Fatalf("the session is not waited for: %v", <-done)
	}
	go s.Run(t.Context(), func(ctx context.Context, _ string, meta map[string][]string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go manager.HandleConn(ctx, theirs, meta)
		return ours, nil
	})
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestABuildWithoutItsSessionSaysWhatItWaitedFor(t *testing.T) {
	manager, err := session.NewManager()
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("the command was interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if err := (&Kit{Sessions: manager}).AwaitSession(ctx, "nobody"); !errors.Is(err, gone) {
		t.Errorf("without a session the error is %v", err)
	}
}
