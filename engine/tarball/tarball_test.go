package tarball

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"
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
	for name, in := range map[string][]byte{"plain": plain.Bytes(), "gzip": packed.Bytes()} {
		var out bytes.Buffer
		if err := read(bytes.NewReader(in), &out); err != nil || !bytes.Equal(out.Bytes(), plain.Bytes()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for in, why := range map[string]string{"": "nothing in the archive", "\xfd7zXZ\x00more": "xz -dc", strings.Repeat("text ", 1000): "no tar archive", "short": "no tar archive"} {
		if err := read(strings.NewReader(in), io.Discard); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%.10q: %v", in, err)
		}
	}
}
