package layers

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// metadataOf is containerd's metadata over the snapshotter, and a context of a lease.
func metadataOf(t *testing.T) (*metadata.DB, snapshots.Snapshotter, context.Context) {
	t.Helper()
	root := t.TempDir()
	s, err := newSnapshotter(filepath.Join(root, "overlay"), overlay.AsynchronousRemove, overlay.WithUpperdirLabel)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	file, err := bolt.Open(filepath.Join(root, "meta.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	db := metadata.NewDB(file, testStore(t), map[string]snapshots.Snapshotter{Snapshotter: s})
	ctx := namespaces.WithNamespace(context.Background(), "test")
	if err := db.Init(ctx); err != nil {
		t.Fatal(err)
	}
	l, err := metadata.NewLeaseManager(db).Create(ctx, leases.WithID("all"))
	if err != nil {
		t.Fatal(err)
	}
	return db, db.Snapshotter(Snapshotter), leases.WithLease(ctx, l.ID)
}

// committed makes a committed snapshot with a file, and gives its directory.
func committed(t *testing.T, ctx context.Context, s snapshots.Snapshotter, name, parent string) string {
	t.Helper()
	if _, err := s.Prepare(ctx, "active-"+name, parent); err != nil {
		t.Fatal(err)
	}
	info, err := s.Stat(ctx, "active-"+name)
	if err != nil {
		t.Fatal(err)
	}
	dir := Dir(info)
	if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(ctx, name, "active-"+name); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A snapshot with two names is one to the disk, and two to who uses it and to the collection.
func TestSnapshotHasTwoNames(t *testing.T) {
	db, s, ctx := metadataOf(t)
	base := committed(t, ctx, s, "base", "")
	top := committed(t, ctx, s, "top", "base")
	if err := errors.Join(Same(ctx, s, "sha256:b", "", base), Same(ctx, s, "sha256:t", "sha256:b", top), Same(ctx, s, "sha256:t", "sha256:b", top)); err != nil {
		t.Fatal(err)
	}
	info, err := s.Stat(ctx, "sha256:t")
	if err != nil || info.Kind != snapshots.KindCommitted || info.Parent != "sha256:b" || Dir(info) != top {
		t.Errorf("the name is of %+v: %v", info, err)
	}
	if _, err := s.Prepare(ctx, "container", "sha256:t"); err != nil {
		t.Errorf("nothing can be made on it: %v", err)
	}
	manager := metadata.NewLeaseManager(db)
	collect := func(names ...string) {
		t.Helper()
		for _, name := range names {
			if err := manager.DeleteResource(ctx, leases.Lease{ID: "all"}, leases.Resource{ID: name, Type: "snapshots/" + Snapshotter}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.GarbageCollect(ctx); err != nil {
			t.Fatal(err)
		}
	}
	collect("top", "base")
	if _, err := s.Stat(ctx, "top"); !errdefs.IsNotFound(err) {
		t.Errorf("the name that nothing holds has %v", err)
	}
	if _, err := os.Stat(filepath.Join(top, "top")); err != nil {
		t.Errorf("the files are gone with one of two names: %v", err)
	}
	collect("container", "sha256:t", "sha256:b")
	for _, dir := range []string{base, top} {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("files that have no name any more are there: %v", err)
		}
	}
}

// Only a committed snapshot on the parent that is said gets a name.
func TestSnapshotThatGetsNoName(t *testing.T) {
	_, s, ctx := metadataOf(t)
	base := committed(t, ctx, s, "base", "")
	top := committed(t, ctx, s, "top", "base")
	committed(t, ctx, s, "other", "")
	if _, err := s.Prepare(ctx, "active", "base"); err != nil {
		t.Fatal(err)
	}
	active, err := s.Stat(ctx, "active")
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct{ parent, dir string }{
		"another parent": {"other", top}, "no parent": {"", top}, "an active one": {"base", Dir(active)}, "no snapshot": {"base", filepath.Dir(base)},
		"another place": {"", filepath.Join(t.TempDir(), filepath.Base(filepath.Dir(base)), "fs")}, "no such parent": {"none", top},
	} {
		if err := Same(ctx, s, "sha256:"+what, c.parent, c.dir); !errdefs.IsNotFound(err) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := s.Stat(ctx, "sha256:"+what); !errdefs.IsNotFound(err) {
			t.Errorf("%s: there is one: %v", what, err)
		}
	}
}

// What an archive leaves out is noticed.
func TestWhole(t *testing.T) {
	for what, c := range map[string]struct {
		change func(dir string) error
		whole  bool
	}{
		"files":                {func(dir string) error { return os.WriteFile(filepath.Join(dir, "a"), nil, 0o4755) }, true},
		"a pipe":               {func(dir string) error { return unix.Mkfifo(filepath.Join(dir, "a"), 0o600) }, true},
		"a closed root":        {func(dir string) error { return os.Chmod(dir, 0o700) }, false},
		"a root that is stuck": {func(dir string) error { return os.Chmod(dir, 0o755|fs.ModeSticky) }, false},
		"a socket": {func(dir string) error {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); err != nil {
				return err
			}
			return unix.Bind(fd, &unix.SockaddrUnix{Name: filepath.Join(dir, "d", "s")})
		}, false},
		"an attribute": {func(dir string) error {
			path := filepath.Join(dir, "a")
			return errors.Join(os.WriteFile(path, nil, 0o644), unix.Setxattr(path, "user.note", []byte("x"), 0))
		}, false},
	} {
		t.Run(what, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "l") // the path of a socket has at most 107 bytes
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := c.change(dir); errors.Is(err, syscall.ENOTSUP) {
				t.Skip("SKIPPED: this file system takes no such attribute: ", err)
			} else if err != nil {
				t.Fatal(err)
			}
			below := t.TempDir() // of the same owner
			if whole, err := IsWhole(dir, below); whole != c.whole || err != nil {
				t.Errorf("it is whole: %v, %v", whole, err)
			}
		})
	}
}

// TestALostWritableLayerBeginsAnew: its record is on the disk at once, its directories are not.
func TestALostWritableLayerBeginsAnew(t *testing.T) {
	_, s, ctx := metadataOf(t)
	committed(t, ctx, s, "base", "")
	want, err := s.Prepare(ctx, "writable", "base")
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Stat(ctx, "writable")
	if err != nil {
		t.Fatal(err)
	}
	modes := func() (modes [2]os.FileMode) {
		for i, path := range []string{Dir(info), filepath.Join(filepath.Dir(Dir(info)), "work")} {
			st, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			modes[i] = st.Mode()
		}
		return modes
	}
	before := modes()
	if err := os.RemoveAll(filepath.Dir(Dir(info))); err != nil {
		t.Fatal(err)
	}
	got, err := s.Mounts(ctx, "writable")
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || len(want) != 1 || !slices.Equal(got[0].Options, want[0].Options) {
		t.Errorf("the mounts are %v, and were %v", got, want)
	}
	if after := modes(); after != before {
		t.Errorf("the modes are %v, and were %v", after, before)
	}
	// What is committed is no such thing: an empty layer in its place would be another image.
	base, err := s.Stat(ctx, "base")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Dir(Dir(base))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Mounts(ctx, "writable"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(Dir(base)); err == nil {
		t.Error("a committed layer was made anew")
	}
}

// TestAManifestNamesNoDirectory: containerd hands annotations of a pulled manifest on as labels of snapshots.
func TestAManifestNamesNoDirectory(t *testing.T) {
	_, s, ctx := metadataOf(t)
	secret := committed(t, ctx, s, "secret", "")
	forged := snapshots.WithLabels(map[string]string{
		"containerd.io/snapshot.ref": "sha256:base", "containerd.io/snapshot/io.orlop.same": secret, labelUpper: secret,
	})
	if _, err := s.Prepare(ctx, "unpacking", "", forged); err != nil {
		t.Fatalf("it is not unpacked: %v", err)
	}
	if err := s.Commit(ctx, "sha256:base", "unpacking", snapshots.WithLabels(map[string]string{labelUpper: secret})); err != nil {
		t.Fatal(err)
	}
	info, err := s.Stat(ctx, "sha256:base")
	if err != nil {
		t.Fatal(err)
	}
	if Dir(info) == secret || Dir(info) == "" {
		t.Errorf("the layer is said to be in %q", Dir(info))
	}
	mounts, err := s.View(ctx, "view", "sha256:base")
	if err != nil {
		t.Fatal(err)
	}
	if len(mounts) != 1 || mounts[0].Source != Dir(info) {
		t.Errorf("mounted is %v, and the layer is in %s", mounts, Dir(info))
	}
}

// TestALostWritableLayerHasItsOwner: the mapped root of the container's users.
func TestALostWritableLayerHasItsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root to give files away")
	}
	_, s, ctx := metadataOf(t)
	committed(t, ctx, s, "base", "")
	owners := snapshots.WithLabels(map[string]string{snapshots.LabelSnapshotUIDMapping: "0:100000:65536", snapshots.LabelSnapshotGIDMapping: "0:200000:65536"})
	if _, err := s.Prepare(ctx, "writable", "base", owners); err != nil {
		t.Fatal(err)
	}
	info, err := s.Stat(ctx, "writable")
	if err != nil {
		t.Fatal(err)
	}
	for _, lost := range []string{filepath.Dir(Dir(info)), Dir(info), filepath.Join(filepath.Dir(Dir(info)), "work")} {
		if err := os.RemoveAll(lost); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Mounts(ctx, "writable"); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(Dir(info))
		if err != nil {
			t.Fatal(err)
		}
		if of := st.Sys().(*syscall.Stat_t); of.Uid != 100000 || of.Gid != 200000 {
			t.Errorf("without %s it is %d:%d's", lost, of.Uid, of.Gid)
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(Dir(info)), "work")); err != nil {
			t.Error(err)
		}
	}
	all, err := os.ReadDir(filepath.Dir(filepath.Dir(Dir(info))))
	if err != nil || len(all) != 2 {
		t.Errorf("there are %d directories, %v", len(all), err)
	}
}
