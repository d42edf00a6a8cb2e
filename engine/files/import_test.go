package files

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestAnArchiveOfImagesIsNoFileSystem(t *testing.T) {
	hex := strings.Repeat("0a", 32)
	for _, test := range []struct {
		name   string
		files  []string
		images bool
	}{
		{"an OCI layout", []string{"blobs/sha256/" + hex, "oci-layout", "index.json"}, true},
		{"by Docker", []string{"blobs/sha256/" + hex, "./manifest.json"}, true},
		{"by Docker before 25", []string{hex + "/layer.tar", hex + ".json", "manifest.json"}, true},
		{"files", []string{"bin/sh", "etc/passwd"}, false},
		{"files with an index", []string{"index.json", "manifest.json", "app.js"}, false},
		{"files within which there are images", []string{"var/images/index.json", "var/images/blobs/sha256/" + hex}, false},
	} {
		var in, out bytes.Buffer
		w := tar.NewWriter(&in)
		for _, name := range test.files {
			if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}); err != nil {
				t.Fatal(err)
			}
		}
		w.Close()
		err := copyFiles(&out, &in)
		if text := fmt.Sprint(err); strings.Contains(text, `"orlop image load"`) != test.images || !test.images && err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
