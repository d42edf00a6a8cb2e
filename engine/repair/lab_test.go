package repair

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	contentlocal "github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"
	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/types/known/anypb"
)

const namespace = "orlop"

func TestMain(m *testing.M) {
	log.L.Logger.SetLevel(logrus.ErrorLevel)
	os.Exit(m.Run())
}

// shelf is containerd's stores, as containerd opens them.
type shelf struct {
	Stores
	db   *bolt.DB
	meta *metadata.DB
	snap snapshots.Snapshotter
	ctx  context.Context
}

func places(dir string) Stores {
	s := At(filepath.Join(dir, "root"), filepath.Join(dir, "state"), namespace)
	s.Now = time.Unix(1_700_000_000, 0)
	return s
}

// openShelf opens the stores below a directory; what is damaged may panic.
func openShelf(s Stores) (_ *shelf, err error) {
	sh := &shelf{Stores: s, ctx: namespaces.WithNamespace(context.Background(), namespace)}
	if err := os.MkdirAll(filepath.Dir(s.Metadata), 0o700); err != nil {
		return nil, err
	}
	if sh.snap, err = overlay.NewSnapshotter(s.Snapshotter); err != nil {
		return nil, err
	}
	blobs, err := contentlocal.NewStore(s.Content)
	if err != nil {
		return nil, err
	}
	if sh.db, err = bolt.Open(s.Metadata, 0o600, &bolt.Options{NoFreelistSync: true, NoSync: true, Timeout: time.Second}); err != nil {
		return nil, err
	}
	sh.meta = metadata.NewDB(sh.db, blobs, map[string]snapshots.Snapshotter{"overlayfs": sh.snap})
	return sh, sh.meta.Init(sh.ctx)
}

func (s *shelf) close() {
	s.snap.Close()
	if s.db != nil {
		s.db.Close()
	}
}

// fill puts n containers with their images and layers on the shelf.
func (s *shelf) fill(n int) error {
	for i := range n {
		text := bytes.Repeat([]byte(fmt.Sprintf("layer %d ", i)), 10)
		desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(text), Size: int64(len(text))}
		labels := content.WithLabels(map[string]string{"containerd.io/gc.root": "2026-01-01T00:00:00Z"})
		if err := content.WriteBlob(s.ctx, s.meta.ContentStore(), desc.Digest.String(), bytes.NewReader(text), desc, labels); err != nil {
			return err
		}
		if _, err := metadata.NewImageStore(s.meta).Create(s.ctx, images.Image{Name: fmt.Sprintf("image-%d", i), Target: desc}); err != nil {
			return err
		}
		if _, err := metadata.NewLeaseManager(s.meta).Create(s.ctx, leases.WithID(fmt.Sprintf("lease-%d", i))); err != nil {
			return err
		}
		key := fmt.Sprintf("layer-%d", i)
		if _, err := s.meta.Snapshotter("overlayfs").Prepare(s.ctx, "making-"+key, ""); err != nil {
			return err
		}
		if err := s.meta.Snapshotter("overlayfs").Commit(s.ctx, key, "making-"+key); err != nil {
			return err
		}
		id := digest.FromString(key).Encoded()
		if _, err := s.meta.Snapshotter("overlayfs").Prepare(s.ctx, id, key); err != nil {
			return err
		}
		_, err := metadata.NewContainerStore(s.meta).Create(s.ctx, containers.Container{
			ID: id, Image: fmt.Sprintf("image-%d", i), Runtime: containers.RuntimeInfo{Name: "runc"},
			Spec: &anypb.Any{TypeUrl: "spec", Value: bytes.Repeat([]byte{byte(i)}, 600)}, SnapshotKey: id, Snapshotter: "overlayfs",
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// use does what an engine does first: it reads all, and makes one more of each.
func (s *shelf) use() error {
	if _, err := metadata.NewContainerStore(s.meta).List(s.ctx); err != nil {
		return err
	}
	if _, err := metadata.NewImageStore(s.meta).List(s.ctx); err != nil {
		return err
	}
	if _, err := s.meta.GarbageCollect(s.ctx); err != nil {
		return fmt.Errorf("collection: %w", err)
	}
	if _, err := s.meta.Snapshotter("overlayfs").Prepare(s.ctx, "one more", ""); err != nil {
		return err
	}
	return s.meta.Snapshotter("overlayfs").Remove(s.ctx, "one more")
}

// filled makes stores that were used and closed.
func filled(t *testing.T, n int) (string, Stores) {
	t.Helper()
	dir := t.TempDir()
	s, err := openShelf(places(dir))
	if err == nil {
		err = s.fill(n)
	}
	if err != nil {
		t.Skip("SKIPPED: the overlay snapshotter can't be used here: ", err)
	}
	s.close()
	return dir, s.Stores
}

// copyTree copies a directory.
func copyTree(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}
