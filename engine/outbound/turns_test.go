package outbound

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
)

// TestTokensAreAskedForInTurn by requests that want the same one together, as the blobs of a pull do.
func TestTokensAreAskedForInTurn(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			fmt.Fprint(w, `{"access_token":"t","expires_in":3600}`)
			return
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="s",scope="repository:a:pull"`, r.Host))
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer server.Close()
	for range 50 {
		a := InTurn(docker.NewDockerAuthorizer(docker.WithAuthCreds(func(string) (string, string, error) { return "ann", "x", nil })))
		refusal, err := http.Get(server.URL + "/v2/")
		if err != nil {
			t.Fatal(err)
		}
		refusal.Body.Close()
		if err := a.AddResponses(t.Context(), []*http.Response{refusal}); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				req := httptest.NewRequest(http.MethodGet, server.URL+"/v2/a/blobs/x", nil)
				if err := a.Authorize(t.Context(), req); err != nil || req.Header.Get("Authorization") != "Bearer t" {
					t.Errorf("%q, %v", req.Header.Get("Authorization"), err)
				}
			})
		}
		all.Wait()
	}
}

// TestATurnIsGivenUp by who waits for it and is broken off.
func TestATurnIsGivenUp(t *testing.T) {
	a := InTurn(nil).(*turns)
	a.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Authorize(ctx, httptest.NewRequest(http.MethodGet, "http://r.test/", nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
