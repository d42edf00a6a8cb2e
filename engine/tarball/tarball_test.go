package tarball

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"
)

func read(in io.Reader, out io.Writer) error {
	whole, err := Open(in, "orlop image import - NAME")
	if err != nil {
		return err
	}
	defer whole.Close()
	_, err = io.Copy(out, whole)
	return err
}

func TestWhatIsRead(t *testing.T) {
	var plain, packed bytes.Buffer
	w := tar.NewWriter(&plain)
	if err := w.WriteHeader(&tar.Header{Name: "f", Typeflag: tar.TypeReg, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	w.Close()
	z := gzip.NewWriter(&packed)
	z.Write(plain.Bytes())
	z.Close()
	var small, large bytes.Buffer
	for dictionary, out := range map[int]*bytes.Buffer{1 << 20: &small, 512 << 20: &large} {
		x, err := xz.WriterConfig{DictCap: dictionary}.NewWriter(out)
		if err != nil {
			t.Fatal(err)
		}
		x.Write(plain.Bytes())
		x.Close()
	}
	for name, in := range map[string][]byte{"plain": plain.Bytes(), "gzip": packed.Bytes(), "xz": small.Bytes()} {
		var out bytes.Buffer
		if err := read(bytes.NewReader(in), &out); err != nil || !bytes.Equal(out.Bytes(), plain.Bytes()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for in, why := range map[string]string{"": "nothing in the archive", "\xfd7zXZ\x00more": "cannot read the archive", large.String(): "512 MiB of memory: \"xz -dc FILE | orlop image import", strings.Repeat("text ", 1000): "no tar archive", "short": "no tar archive"} {
		if err := read(strings.NewReader(in), io.Discard); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%.10q: %v", in, err)
		}
	}
}

// TestDictionaryOfXZ: by what xz itself writes.
func TestDictionaryOfXZ(t *testing.T) {
	program, err := exec.LookPath("xz")
	if err != nil {
		t.Skip("there is no xz")
	}
	for preset, want := range map[string]int64{"-0": 256 << 10, "-6": 8 << 20, "-9": 64 << 20, "--x86": 64 << 20} {
		args := []string{"-c", preset}
		if preset == "--x86" { // a filter before it
			args = append(args, "--lzma2=preset=9")
		}
		c := exec.Command(program, args...)
		c.Stdin = strings.NewReader("text")
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := dictionary(out); got != want {
			t.Errorf("%s: %d, want %d", preset, got, want)
		}
	}
}
