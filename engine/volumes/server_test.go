package volumes

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/runner/volume"
)

// shelf has volumes as directories of a test.
type shelf struct {
	dir  string
	held int
}

func (s *shelf) HoldVolume(name string, _ bool) (string, func(), error) {
	path := filepath.Join(s.dir, name)
	if _, err := os.Stat(path); err != nil {
		return "", nil, volume.ErrNone
	}
	s.held++
	return path, func() { s.held-- }, nil
}

func (s *shelf) CreateVolume(name string, _ map[string]string) error {
	return os.Mkdir(filepath.Join(s.dir, name), 0o755)
}

func (s *shelf) RemoveVolume(name string) (bool, error) {
	return true, os.RemoveAll(filepath.Join(s.dir, name))
}

func (s *shelf) VolumeSizes(context.Context, []string) (map[string]int64, error) { return nil, nil }
func (s *shelf) Records() []supervisor.Record                                    { return nil }

func archived(t *testing.T, name, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text)), Uid: os.Getuid(), Gid: os.Getgid()}); err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, text)
	w.Close()
	return out.Bytes()
}

// TestAnImportIsWholeOrSaysSo: what fails leaves no new volume, files that are there are not
// touched unasked, and of what has come in part the error tells.
func TestAnImportIsWholeOrSaysSo(t *testing.T) {
	whole := archived(t, "file", "new")
	cut := append(bytes.Clone(whole[:1024]), archived(t, "more", strings.Repeat("x", 2000))[:1500]...)
	for name, c := range map[string]struct {
		has   string // what is in the volume's file before; "-": there is no volume; "": it is empty
		in    []byte
		force bool
		want  string // what is in it afterwards
		err   string
	}{
		"a new one":                {"-", whole, false, "new", ""},
		"an empty one":             {"", whole, false, "new", ""},
		"one with files":           {"old", whole, false, "old", "volume data has files: --force adds those of the archive"},
		"one with files, by force": {"old", whole, true, "new", ""},
		"cut, a new one":           {"-", cut, false, "-", "cannot import into volume data, which is not made: "},
		"cut, an empty one":        {"", cut, false, "new", "which has a part of it now (remove the volume, or --force the next import into it): "},
		"cut, by force":            {"old", cut, true, "new", "which has a part of it now: "},
		"out of it":                {"-", archived(t, "../file", "x"), false, "-", `a path with ".."`},
	} {
		shelf := &shelf{dir: t.TempDir()}
		at := filepath.Join(shelf.dir, "data")
		if c.has != "-" {
			os.Mkdir(at, 0o755)
		}
		if c.has != "-" && c.has != "" {
			os.WriteFile(filepath.Join(at, "file"), []byte(c.has), 0o644)
		}
		flushed := false
		s := &Server{Inventory: shelf, Flush: func() error { flushed = true; return nil }}
		reply, err := s.put(t.Context(), bytes.NewReader(c.in), &api.VolumeInput_Start{Name: "data", Force: c.force})
		switch {
		case c.err == "" && (err != nil || !flushed || reply.Made != (c.has == "-")):
			t.Errorf("%s: %v, %v", name, err, reply)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: %v, want %q", name, err, c.err)
		}
		got, err := os.ReadFile(filepath.Join(at, "file"))
		if _, gone := os.Stat(at); gone != nil {
			got = []byte("-")
		} else if err != nil {
			got = nil
		}
		if string(got) != c.want {
			t.Errorf("%s: it has %q, want %q", name, got, c.want)
		}
		if shelf.held != 0 {
			t.Errorf("%s: it is still held", name)
		}
	}
}
