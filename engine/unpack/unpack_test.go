package unpack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layers is a content store of one blob.
type layers []byte

type reader struct{ *bytes.Reader }

func (reader) Close() error { return nil }

func (l layers) ReaderAt(context.Context, ocispec.Descriptor) (content.ReaderAt, error) {
	return reader{bytes.NewReader(l)}, nil
}

// packed is a layer of entries, gzipped.
func packed(t *testing.T, parts ...func(w io.Writer)) layers {
	t.Helper()
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	for _, write := range parts {
		write(z)
	}
	if _, err := z.Write(make([]byte, 1024)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// entries writes headers; what a regular file has is its own name.
func entries(all ...tar.Header) func(io.Writer) {
	return func(out io.Writer) {
		w := tar.NewWriter(out)
		for _, h := range all {
			if h.Typeflag == tar.TypeReg {
				h.Size = int64(len(h.Name))
			}
			if h.Mode == 0 {
				h.Mode = 0o755
			}
			if err := w.WriteHeader(&h); err != nil {
				panic(err)
			}
			if h.Typeflag == tar.TypeReg {
				_, _ = io.WriteString(w, h.Name)
			}
		}
		if err := w.Flush(); err != nil {
			panic(err)
		}
	}
}

func file(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name} }
func dir(name string) tar.Header  { return tar.Header{Typeflag: tar.TypeDir, Name: name} }
func symlink(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to}
}
func link(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: to}
}

// record is the form of a PAX record: its own length, the name and the value.
func record(name, value string) string {
	n := len(name) + len(value) + 3
	for len(fmt.Sprint(n))+len(name)+len(value)+3 != n {
		n = len(fmt.Sprint(n)) + len(name) + len(value) + 3
	}
	return fmt.Sprintf("%d %s=%s\n", n, name, value)
}

// sparse is a file of so many bytes, all of them a hole, in PAX format 1.0. The
// writer of archive/tar writes none, so the kind of a plain entry is changed.
func sparse(name string, size int64) func(io.Writer) {
	entry := func(w io.Writer, kind byte, name, text string) {
		var b bytes.Buffer
		plain := tar.NewWriter(&b)
		_ = plain.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(text)), Format: tar.FormatUSTAR})
		_, _ = io.WriteString(plain, text)
		_ = plain.Flush()
		h := b.Bytes()
		h[156] = kind
		copy(h[148:156], "        ")
		sum := 0
		for _, c := range h[:512] {
			sum += int(c)
		}
		copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
		_, _ = w.Write(h)
	}
	return func(w io.Writer) {
		entry(w, tar.TypeXHeader, "x", record("GNU.sparse.major", "1")+record("GNU.sparse.minor", "0")+record("GNU.sparse.name", name)+
			record("GNU.sparse.realsize", fmt.Sprint(size)))
		where := fmt.Sprintf("1\n%d\n0\n", size) // one fragment of no bytes, at the end
		entry(w, tar.TypeReg, name, where+strings.Repeat("\x00", 512-len(where)))
	}
}

// scene is a snapshot's directory beside files that are none of a layer's business.
func scene(t *testing.T) (upper string, untouched func()) {
	t.Helper()
	root := t.TempDir()
	upper = filepath.Join(root, "1", "fs")
	for _, d := range []string{upper, filepath.Join(root, "10", "fs"), filepath.Join(root, "outside")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"secret", "outside/secret", "10/fs/secret", "1/secret"} {
		if err := os.WriteFile(filepath.Join(root, f), []byte(f), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	look := func() string {
		var all []string
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if path == upper {
				return fs.SkipDir
			}
			info, ierr := os.Lstat(path)
			if err != nil || ierr != nil {
				t.Fatal(err, ierr)
			}
			links := uint64(0)
			if !d.IsDir() {
				links = uint64(info.Sys().(*syscall.Stat_t).Nlink)
			}
			all = append(all, fmt.Sprint(path, info.Mode(), links))
			return nil
		})
		return strings.Join(all, "\n")
	}
	before := look()
	return upper, func() {
		t.Helper()
		if after := look(); after != before {
			t.Errorf("outside of the layer was\n%s\nand is\n%s", before, after)
		}
	}
}

// TestLayersStayWhereTheyBelong: see the risk.
//
// Risk unpack traversal: layers have ../x, absolute names, hard links out, links and then files through them, devices, set-user-ID files, whiteouts of what is above, opaque marks, entries that change their kind, other sizes, names of 70 KB
// Held: nothing but the layer's own directory is written or linked to; what makes no sense is refused
func TestLayersStayWhereTheyBelong(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to make devices and owners")
	}
	long := strings.Repeat("n", 70_000)
	for name, test := range map[string]struct {
		layer func(io.Writer)
		fails string   // "" if it is unpacked
		has   []string // then these files, with their kind
	}{
		"dots":                      {entries(file("../x"), file("a/../../../x2"), file("../../10/fs/x3")), "", []string{"-x", "-x2", "d10", "d10/fs", "-10/fs/x3"}},
		"absolute":                  {entries(file("/outside/secret")), "", []string{"doutside", "-outside/secret"}},
		"root itself":               {entries(file("."), file("a/.."), symlink("..", "/etc"), file("x")), "", []string{"-x"}},
		"hard link out":             {entries(link("shadow", "/etc/shadow")), "no such file", nil},
		"hard link up":              {entries(link("s", "../../outside/secret")), "no such file", nil},
		"hard link to a neighbour":  {entries(link("s", "../../10/fs/secret")), "no such file", nil},
		"hard link to the root":     {entries(link("s", "..")), "operation not permitted", nil},
		"hard link by a link":       {entries(symlink("up", "../../outside"), link("s", "up/secret")), "no such file", nil},
		"hard link to a link":       {entries(symlink("a", "../../outside/secret"), link("b", "a"), file("b")), "", []string{"La", "-b"}},
		"through a link":            {entries(symlink("up", "../../outside"), file("up/secret")), "", []string{"Lup", "doutside", "-outside/secret"}},
		"through an absolute link":  {entries(symlink("etc", "/etc"), file("etc/shadow")), "too many links", nil},
		"through links of links":    {entries(symlink("a", "b/.."), symlink("b", "../../.."), file("a/outside/x")), "", []string{"La", "Lb", "doutside", "-outside/x"}},
		"over a link":               {entries(symlink("a", "../../outside/secret"), file("a")), "", []string{"-a"}},
		"a directory over a link":   {entries(symlink("a", "../../outside"), dir("a"), file("a/x")), "", []string{"da", "-a/x"}},
		"a link over a directory":   {entries(dir("a"), file("a/x"), symlink("a", "../../outside"), file("a/secret")), "", []string{"La", "doutside", "-outside/secret"}},
		"a file over a directory":   {entries(dir("a"), file("a/x"), file("a"), file("a/y")), "not a directory", nil},
		"whiteout of what is above": {entries(file(".wh...")), "invalid", nil},
		"whiteout of nothing":       {entries(file(".wh.")), "invalid", nil},
		"whiteout of the directory": {entries(dir("a"), file("a/.wh..")), "invalid", nil},
		"whiteout through a link":   {entries(symlink("up", "../../outside"), file("up/.wh.secret")), "", []string{"Lup", "doutside", "Doutside/secret"}},
		"opaque through a link":     {entries(symlink("up", "../../outside"), file("up/.wh..wh..opq")), "", []string{"Lup", "doutside"}},
		"opaque below a file":       {entries(file("a"), file("a/.wh..wh..opq")), "not a directory", nil},
		"whiteout twice":            {entries(file(".wh.a"), file(".wh.a")), "file exists", nil},
		"device and set-user-ID":    {entries(tar.Header{Typeflag: tar.TypeBlock, Name: "sda", Devmajor: 8}, tar.Header{Typeflag: tar.TypeReg, Name: "su", Mode: 0o4755}), "", []string{"Dsda", "usu"}},
		"attribute by a link":       {entries(symlink("a", "../../outside/secret"), attributes(symlink("b", "../../outside/secret"), 1)), "", []string{"La", "Lb"}},
		"a name of 70 KB":           {entries(file(long)), "name or target has 70000 bytes", nil},
		"a link of 70 KB":           {entries(symlink("a", long)), "name or target has 70000 bytes", nil},
		"a path of 35,000 parts":    {entries(file(strings.Repeat("a/", 35_000) + "x")), "name or target has 70001 bytes", nil},
		"a name of 300 bytes":       {entries(file(long[:300])), "file name too long", nil},
		"another kind of entry":     {entries(tar.Header{Typeflag: 'M', Name: "a"}), "unhandled", nil},
		"ends in its middle":        {func(w io.Writer) { entries(file("a"))(w); _, _ = w.Write([]byte("x")) }, "invalid tar header", nil},
		"less than it says":         {func(w io.Writer) { _ = tar.NewWriter(w).WriteHeader(&tar.Header{Name: "a", Size: 5000, Mode: 0o644}) }, "unexpected EOF", nil},
	} {
		t.Run(name, func(t *testing.T) {
			upper, untouched := scene(t)
			began := time.Now()
			_, err := applier(packed(t, test.layer)).Apply(t.Context(), ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString(name)},
				[]mount.Mount{{Type: "overlay", Options: []string{"upperdir=" + upper, "workdir=" + upper, "lowerdir=" + t.TempDir()}}})
			untouched()
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it takes %v", took)
			}
			if test.fails != "" {
				if err == nil || !strings.Contains(err.Error(), test.fails) || len(err.Error()) > 1000 {
					t.Fatalf("it ends with %.300v, want %q", err, test.fails)
				}
				return
			}
			if got := kinds(t, upper); err != nil || !slices.Equal(got, slices.Sorted(slices.Values(test.has))) {
				t.Errorf("it has %q, %v, want %q", got, err, test.has)
			}
		})
	}
}

// kinds lists what is below a directory: d is a directory, - a file, L a link, D a
// device, u a file with the set-user-ID bit.
func kinds(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		kind := info.Mode().String()[:1]
		rel, _ := filepath.Rel(root, path)
		all = append(all, kind+rel)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func attributes(h tar.Header, n int) tar.Header {
	h.PAXRecords = map[string]string{}
	for i := range n {
		h.PAXRecords[fmt.Sprintf("SCHILY.xattr.user.a%d", i)] = "value"
	}
	return h
}

// TestASmallLayerIsNotALargeOne: see the risk.
//
// Risk unpack traversal: a layer of a few kilobytes has a sparse file of 1 TB or 8 EB, a gigabyte of headers, 5,000 names of 4,000 bytes, 10,000 files
// Held: what does not fit on the disk is refused before it is written, and what takes too much memory before it does; files are unpacked
func TestASmallLayerIsNotALargeOne(t *testing.T) {
	comment := map[string]string{"comment": strings.Repeat("c", 1<<20-100)}
	value := map[string]string{"SCHILY.xattr.user.a": strings.Repeat("v", 1<<20-100)}
	many := func(n int, h func(i int) tar.Header) func(io.Writer) {
		return func(w io.Writer) {
			for i := range n {
				entries(h(i))(w)
			}
		}
	}
	for name, test := range map[string]struct {
		layer func(io.Writer)
		fails string
	}{
		"sparse, 1 TB": {sparse("a", 1<<40), "has a file of 1099.5 GB, \"a\": no space"},
		"plain, 1 TB": {func(w io.Writer) {
			_ = tar.NewWriter(w).WriteHeader(&tar.Header{Name: "a", Size: 1 << 40, Mode: 0o644})
		}, "has a file of 1099.5 GB"},
		"sparse, 8 EB":            {sparse("a", 1<<63-1), "no space"},
		"comments of directories": {many(250, func(i int) tar.Header { h := dir(fmt.Sprint(i)); h.PAXRecords = comment; return h }), ""},
		"attributes":              {many(400, func(i int) tar.Header { h := dir(fmt.Sprint(i)); h.PAXRecords = value; return h }), "user.a"},
		"attributes of a file":    {entries(attributes(file("a"), 10_000)), "*"},
		"10,000 files":            {many(10_000, func(i int) tar.Header { return symlink(fmt.Sprint(i), "x") }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			layer := packed(t, test.layer)
			upper, untouched := scene(t)
			defer debug.SetGCPercent(debug.SetGCPercent(50))
			peak := watchHeap(t)
			_, err := applier(layer).Apply(t.Context(), ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString(name)},
				[]mount.Mount{{Type: "overlay", Options: []string{"upperdir=" + upper}}})
			if p := peak(); p > 200<<20 {
				t.Errorf("a layer of %d bytes takes %d MB of memory", len(layer), p>>20)
			}
			untouched()
			if test.fails == "*" { // as the file system likes
				return
			}
			if test.fails == "" && err != nil || test.fails != "" && (err == nil || !strings.Contains(err.Error(), test.fails)) {
				t.Errorf("it ends with %v, want %q", err, test.fails)
			}
		})
	}
}

// watchHeap gives the most bytes of memory that were in use until it is asked.
func watchHeap(t *testing.T) (peak func() uint64) {
	t.Helper()
	var most atomic.Uint64
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most.Store(max(most.Load(), m.HeapAlloc))
			}
		}
	}()
	return func() uint64 { close(done); <-ended; return most.Load() }
}

// TestBounds: what a layer may have in all.
func TestBounds(t *testing.T) {
	for name, test := range map[string]struct {
		entry tar.Header
		most  int
	}{
		"names":      {file(strings.Repeat("n", 4000)), 70_000 / 16},
		"deep":       {file(strings.Repeat("a/", 2000)), 15_000 / 16},
		"attributes": {attributes(dir("a"), 1000), 12_000 / 16},
		"files":      {file("usr/share/doc/some-package/copyright"), 4_000_000 / 16},
	} {
		b := &bounds{layer: "sha256:x", root: t.TempDir(), names: mostNames - mostNames/16} // the last sixteenth is quick
		n := 0
		for ; n < 5_000_000; n++ {
			h := test.entry
			h.PAXRecords = maps.Clone(h.PAXRecords)
			if _, err := b.check(&h); err != nil {
				if !strings.Contains(err.Error(), "more than 268.4 MB of names and attributes") {
					t.Error(err)
				}
				break
			}
		}
		if n > test.most || name == "files" && n < 1_000_000/16 {
			t.Errorf("%s: %d entries, at most %d are wanted", name, n, test.most)
		}
	}
}

func applier(l layers) diff.Applier { return Applier{l} }
