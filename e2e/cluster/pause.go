package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime"
)

// pauseName is what the image is called that holds a pod's namespaces.
const pauseName = "pause:1"

// pushPause pushes that image to the registry: the machine's busybox, sleeping.
func pushPause(ctx context.Context) error {
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return err
	}
	layer := &bytes.Buffer{}
	w := tar.NewWriter(layer)
	if err := w.WriteHeader(&tar.Header{Name: "sleep", Mode: 0o755, Size: int64(len(busybox))}); err != nil {
		return err
	}
	if _, err := w.Write(busybox); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{"Entrypoint": []string{"/sleep", "2147483647"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(layer.Bytes())}},
	})
	if err != nil {
		return err
	}
	descriptor := func(kind string, content []byte) map[string]any {
		return map[string]any{"mediaType": kind, "size": len(content), "digest": digest(content)}
	}
	const image = "application/vnd.oci.image."
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": image + "manifest.v1+json", "config": descriptor(image+"config.v1+json", config),
		"layers": []any{descriptor(image+"layer.v1.tar", layer.Bytes())},
	})
	if err != nil {
		return err
	}
	for _, blob := range [][]byte{layer.Bytes(), config} {
		if err := pushBlob(ctx, blob); err != nil {
			return err
		}
	}
	_, err = send(ctx, http.MethodPut, "http://"+Registry+"/v2/pause/manifests/1", image+"manifest.v1+json", manifest)
	return err
}

func digest(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }

func pushBlob(ctx context.Context, content []byte) error {
	at, err := send(ctx, http.MethodPost, "http://"+Registry+"/v2/pause/blobs/uploads/", "", nil)
	if err != nil {
		return err
	}
	query := at.Query()
	query.Set("digest", digest(content))
	at.RawQuery = query.Encode()
	_, err = send(ctx, http.MethodPut, at.String(), "application/octet-stream", content)
	return err
}

// send sends a request that must succeed, and returns where the answer leads.
func send(ctx context.Context, method, address, kind string, content []byte) (*url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", kind)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	said, _ := io.ReadAll(res.Body)
	if res.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, address, res.Status, said)
	}
	if res.Header.Get("Location") == "" {
		return nil, nil
	}
	return res.Location()
}
