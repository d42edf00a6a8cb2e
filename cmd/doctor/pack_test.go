package doctor

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/spec/secret"
)

// unpack gives the files of an archive by their names.
func unpack(t *testing.T, packed io.Reader) map[string]string {
	t.Helper()
	zip, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(h.Name, "orlop-diagnose/")] = string(text)
	}
}

func TestWhatIsPackedHasNoSecrets(t *testing.T) {
	root, state := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		"log/engine.log": "started with canary-of-a-token\n", "log/keeper.log": "all is well\n",
		"engine.yaml":  "registries:\n  docker.io:\n    mirrors: [\"http://user:canary-in-settings@host\"]\nproxy: canary-of-a-proxy\n",
		"engine.db":    "canary-in-a-database",
		"volumes/data": "canary-in-a-volume",
	} {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	d, _ := patient(t, map[string]string{"ls -a -q": "shop\n", "-p shop ps -a": "shop-web-1 canary-of-a-secret\n"})
	mask := &secret.Mask{}
	mask.Add([]byte("canary-of-a-secret"))
	var packed bytes.Buffer
	err := d.Pack(t.Context(), &packed, Packing{
		Root: root, State: state, Now: time.Unix(0, 0), Mask: mask,
		Environ: []string{"MY_TOKEN=canary-of-a-token", "HOME=/canary-of-a-home", "ORLOP_ROOT=" + root},
	})
	if err != nil {
		t.Fatal(err)
	}
	files := unpack(t, &packed)
	for name, text := range files {
		if strings.Contains(text, "canary") {
			t.Errorf("%s has %q", name, text)
		}
	}
	for name, want := range map[string]string{
		"log/engine.log": "started with", "log/keeper.log": "all is well", "doctor.json": `"name": "kernel"`, "files.txt": "engine.db",
		"environment-names.txt": "MY_TOKEN\nHOME\nORLOP_ROOT=" + root, "settings-names.txt": "proxy:\n", "containers/shop.txt": "shop-web-1",
	} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s is %q, without %q", name, files[name], want)
		}
	}
}

func TestALogIsPackedByItsEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "engine.log")
	if err := os.WriteFile(path, []byte("first line\nsecond\nthird\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := tail(path, 14)
	if err != nil || string(text) != "second\nthird\n" {
		t.Errorf("%q, %v", text, err)
	}
}
