package cmd_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/orlop/orlop/api"
)

// fakeImages has two images that nothing uses.
type fakeImages struct {
	api.UnimplementedImagesServer
	mu     sync.Mutex
	pruned []*api.PruneRequest // guarded by mu
}

func (f *fakeImages) Prune(_ context.Context, r *api.PruneRequest) (*api.PruneReply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pruned = append(f.pruned, proto.CloneOf(r))
	return &api.PruneReply{Names: []string{"docker.io/library/a:1", "docker.io/library/b:1"}, Digests: []string{"sha256:aa", "sha256:bb"}, DiskBytes: 1000}, nil
}

func (f *fakeImages) Removal(_ context.Context, r *api.RemoveImageRequest) (*api.RemoveImageReply, error) {
	switch r.Name {
	case "nosuch":
		return &api.RemoveImageReply{Absent: true}, nil
	case "used":
		return nil, errors.New("web/1 uses it")
	case "two":
		return &api.RemoveImageReply{Untagged: []string{"docker.io/library/two:1"}}, nil
	}
	return &api.RemoveImageReply{Untagged: []string{"docker.io/library/" + r.Name + ":latest"}, Deleted: "sha256:" + r.Name}, nil
}

// TestImagesThatWereShownAreRemoved, and no others, after a yes.
func TestImagesThatWereShownAreRemoved(t *testing.T) {
	d := newDesk(t, "").serve()
	if screen, code := d.atTerminal("n\n", "image", "prune", "-a"); code != 1 || !strings.Contains(screen, "- docker.io/library/a:1") || len(d.images.pruned) != 1 || !d.images.pruned[0].DryRun {
		t.Fatalf("exit code %d: %s", code, screen)
	}
	d.images.pruned = nil
	if screen, code := d.atTerminal("y\n", "image", "prune", "-a", "--filter", "label=x"); code != 0 || len(d.images.pruned) != 2 {
		t.Fatalf("exit code %d: %s", code, screen)
	}
	last := d.images.pruned[1]
	if want := map[string]string{"docker.io/library/a:1": "sha256:aa", "docker.io/library/b:1": "sha256:bb"}; last.DryRun || !maps.Equal(last.Only, want) || len(last.Labels) != 1 {
		t.Errorf("asked is for %v", last)
	}
}
