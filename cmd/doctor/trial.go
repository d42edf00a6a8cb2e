package doctor

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/orlop/orlop/api"
)

// The trial is a stack of one service that answers through a published port. Its
// image is made of orlopd, which runs everywhere and needs no registry.
const (
	trialProject = "orlop-doctor"
	trialImage   = "orlop.invalid/doctor:trial"
	trialStack   = `services:
  trial:
    image: ` + trialImage + `
    pull_policy: never
    command: ["/orlopd", "trial"]
    stop_grace_period: 0s
    ports: ["127.0.0.1::80"]
  asks:
    image: ` + trialImage + `
    pull_policy: never
    command: ["/orlopd", "trial", "trial:80"]
    depends_on: [trial]
`
)

// container runs the trial and takes it down.
func (d *Doctor) container(ctx context.Context) api.Check {
	began := time.Now()
	err := d.trial(ctx)
	cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	_, down := d.Run(cleanup, trialStack, "-f", "-", "-p", trialProject, "down", "-v", "-t", "0")
	_, gone := d.Run(cleanup, "", "image", "rm", trialImage)
	if err = errors.Join(err, down, gone); err != nil {
		return api.Check{Name: "container", Result: api.CheckFailed, Found: err.Error(), Cure: "see \"orlop engine logs\""}
	}
	found := fmt.Sprintf("two were made, found each other by name and answered through a port, in %.1f s", time.Since(began).Seconds())
	return api.Check{Name: "container", Result: api.CheckOK, Found: found}
}

func (d *Doctor) trial(ctx context.Context) error {
	archive, err := trialArchive(d.Program)
	if err != nil {
		return err
	}
	if _, err := d.Run(ctx, archive, "image", "load", "-"); err != nil {
		return err
	}
	run := func(args ...string) (string, error) {
		return d.Run(ctx, trialStack, append([]string{"-f", "-", "-p", trialProject, "--progress", "quiet"}, args...)...)
	}
	if _, err := run("up", "-d", "trial"); err != nil {
		return err
	}
	address, err := run("port", "trial", "80")
	if err != nil {
		return err
	}
	if err := answers(ctx, strings.TrimSpace(address)); err != nil {
		return fmt.Errorf("a container does not answer through its published port %s: %w", strings.TrimSpace(address), err)
	}
	if _, err := run("run", "--rm", "-T", "asks"); err != nil {
		return fmt.Errorf("a container does not reach another by its name: %w", err)
	}
	return nil
}

// answers waits for a word at an address.
func answers(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	word, err := io.ReadAll(io.LimitReader(c, 64))
	switch {
	case err != nil:
		return err
	case string(word) != "orlop\n":
		return fmt.Errorf("it said %q", word)
	}
	return nil
}

// ports connects to each published port of what runs.
func (d *Doctor) ports(ctx context.Context) api.Check {
	const name = "ports"
	projects, err := d.Run(ctx, "", "ls", "-q")
	if err != nil {
		return api.Check{Name: name, Result: api.CheckFailed, Found: err.Error()}
	}
	tried := 0
	var deaf []string
	for _, project := range strings.Fields(projects) {
		out, err := d.Run(ctx, "", "-p", project, "ps", "--format", "json")
		if err != nil {
			return api.Check{Name: name, Result: api.CheckFailed, Found: err.Error()}
		}
		for line := range strings.Lines(out) {
			n, silent := connect(ctx, []byte(line))
			tried, deaf = tried+n, append(deaf, silent...)
		}
	}
	if len(deaf) > 0 {
		return api.Check{
			Name: name, Result: api.CheckFailed, Found: "nobody listens at " + strings.Join(deaf, ", "),
			Cure: "run \"orlop up -d\" for them, or \"orlop engine restart\"",
		}
	}
	return api.Check{Name: name, Result: api.CheckOK, Found: fmt.Sprintf("%d published by what runs; all listen", tried)}
}

// connect tries the published TCP ports of a container as ps prints it.
func connect(ctx context.Context, line []byte) (tried int, deaf []string) {
	var c struct {
		Name       string
		Publishers []struct {
			URL           string
			PublishedPort int
			Protocol      string
		}
	}
	if json.Unmarshal(line, &c) != nil {
		return 0, nil
	}
	for _, p := range c.Publishers {
		if p.Protocol != "tcp" || p.PublishedPort == 0 {
			continue
		}
		host := p.URL
		if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
			host = "localhost"
		}
		tried++
		address := net.JoinHostPort(host, fmt.Sprint(p.PublishedPort))
		conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", address)
		if err != nil {
			deaf = append(deaf, address+" ("+c.Name+")")
			continue
		}
		conn.Close()
	}
	return tried, deaf
}

// trialArchive is an OCI archive of an image whose one file is the program
// (OCI Image Layout Specification).
func trialArchive(program string) (string, error) {
	text, err := os.ReadFile(program)
	if err != nil {
		return "", fmt.Errorf("cannot make an image for the trial: %w", err)
	}
	var layer bytes.Buffer
	if err := pack(&layer, map[string][]byte{"orlopd": text}, "orlopd"); err != nil {
		return "", err
	}
	blobs := map[string][]byte{}
	var order []string
	put := func(mediaType string, content []byte) map[string]any {
		sum := sha256.Sum256(content)
		name := "blobs/sha256/" + hex.EncodeToString(sum[:])
		blobs[name] = content
		order = append(order, name)
		return map[string]any{"mediaType": mediaType, "digest": "sha256:" + hex.EncodeToString(sum[:]), "size": len(content)}
	}
	document := func(v any) []byte {
		out, _ := json.Marshal(v) // of maps and strings: it can't fail
		return out
	}
	const kind = "application/vnd.oci.image."
	layerAt := put(kind+"layer.v1.tar", layer.Bytes())
	config := put(kind+"config.v1+json", document(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []any{layerAt["digest"]}},
	}))
	manifest := put(kind+"manifest.v1+json", document(map[string]any{
		"schemaVersion": 2, "mediaType": kind + "manifest.v1+json", "config": config, "layers": []any{layerAt},
	}))
	manifest["annotations"] = map[string]string{"io.containerd.image.name": trialImage, "org.opencontainers.image.ref.name": "trial"}
	blobs["index.json"] = document(map[string]any{"schemaVersion": 2, "manifests": []any{manifest}})
	blobs["oci-layout"] = []byte(`{"imageLayoutVersion":"1.0.0"}`)
	var out bytes.Buffer
	err = pack(&out, blobs, append([]string{"oci-layout", "index.json"}, order...)...)
	return out.String(), err
}

func pack(w io.Writer, files map[string][]byte, names ...string) error {
	t := tar.NewWriter(w)
	for _, name := range names {
		err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[name])), Typeflag: tar.TypeReg})
		if err == nil {
			_, err = t.Write(files[name])
		}
		if err != nil {
			return err
		}
	}
	return t.Close()
}
