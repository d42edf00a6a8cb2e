package lent

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/peer"

	"github.com/orlop/orlop/api"
)

// called is the context of a call of this process.
func called(t *testing.T) context.Context {
	t.Helper()
	own, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	l := Listener(own)
	t.Cleanup(func() { l.Close() })
	mine, err := net.Dial("unix", own.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mine.Close() })
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	return peer.NewContext(t.Context(), &peer.Peer{Addr: theirs.RemoteAddr()})
}

func named(t *testing.T, f *os.File) *api.Lent {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return &api.Lent{Number: int32(f.Fd()), Device: st.Dev, Inode: st.Ino}
}

func opened(t *testing.T, flags int, content string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestTakeIsTheCallersFile: the same one, with the same offset.
func TestTakeIsTheCallersFile(t *testing.T) {
	ctx := called(t)
	f := opened(t, os.O_RDONLY, "content")
	got, err := Take(ctx, named(t, f), Read)
	if err != nil {
		t.Skipf("the kernel gives no descriptors of other processes: %v", err)
	}
	defer got.Close()
	if text, err := io.ReadAll(got); err != nil || string(text) != "content" {
		t.Errorf("it has %q: %v", text, err)
	}
	if at, err := f.Seek(0, io.SeekCurrent); err != nil || at != 7 {
		t.Errorf("the caller sees that it was read up to %d: %v", at, err)
	}
	flags, err := unix.FcntlInt(got.Fd(), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("programs that are run have it, too: %v", err)
	}
	empty := opened(t, os.O_WRONLY, "")
	into, err := Take(ctx, named(t, empty), Write)
	if err != nil {
		t.Fatal(err)
	}
	into.Close()
}

// TestTakeRefuses what is not what the caller has said, or what it may not do itself.
func TestTakeRefuses(t *testing.T) {
	ctx := called(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	another := named(t, opened(t, os.O_RDONLY, "x"))
	another.Number = int32(opened(t, os.O_RDONLY, "y").Fd())
	for _, c := range []struct {
		name string
		ctx  context.Context
		l    *api.Lent
		use  Use
		err  string
	}{
		{"nothing", ctx, nil, Read, "another file"},
		{"a number that is none", ctx, &api.Lent{Number: 1 << 20}, Read, "descriptor 1048576"},
		{"another file", ctx, another, Read, "another file"},
		{"a pipe", ctx, named(t, r), Read, "no plain file"},
		{"one for writing", ctx, named(t, opened(t, os.O_WRONLY, "x")), Read, "not open for reading"},
		{"one for reading", ctx, named(t, opened(t, os.O_RDONLY, "")), Write, "not open for writing"},
		{"one with content", ctx, named(t, opened(t, os.O_RDWR, "x")), Write, "not open for writing"},
		{"one that is added to", ctx, named(t, opened(t, os.O_WRONLY|os.O_APPEND, "")), Write, "not open for writing"},
		{"by no connection", t.Context(), named(t, opened(t, os.O_RDONLY, "x")), Read, "no connection"},
		{"from another machine", peer.NewContext(t.Context(), &peer.Peer{Addr: &net.TCPAddr{}}), named(t, opened(t, os.O_RDONLY, "x")), Read, "socket of this machine"},
	} {
		f, err := Take(c.ctx, c.l, c.use)
		if f != nil {
			f.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
