package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"testing"
)

// tarOf is an archive of n files.
func tarOf(t *testing.T, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range n {
		text := fmt.Sprint(i)
		if err := w.WriteHeader(&tar.Header{Name: "blobs/" + text, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
