package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

const (
	mediaTypeIndex    = "application/vnd.oci.image.index.v1+json"
	mediaTypeManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaTypeConfig   = "application/vnd.oci.image.config.v1+json"
	mediaTypeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// An imageConfig is what a container of the image starts with: the object "config" of the OCI image configuration.
type imageConfig struct {
	Env        []string          `json:"Env,omitempty"`
	Cmd        []string          `json:"Cmd,omitempty"`
	WorkingDir string            `json:"WorkingDir,omitempty"`
	Labels     map[string]string `json:"Labels,omitempty"`
}

type configFile struct {
	Created      string      `json:"created"`
	Architecture string      `json:"architecture"`
	OS           string      `json:"os"`
	Config       imageConfig `json:"config"`
	RootFS       rootFS      `json:"rootfs"`
	History      []history   `json:"history"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

type history struct {
	Created   string `json:"created"`
	CreatedBy string `json:"created_by"`
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Platform    *platform         `json:"platform,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

// writeArchive writes an OCI image layout as a tar: the image once, named once for each of its tags.
func writeArchive(w io.Writer, img image, layers []layer, epoch time.Time) error {
	created := epoch.Format(time.RFC3339)
	config := configFile{Created: created, Architecture: runtime.GOARCH, OS: "linux", Config: img.config,
		RootFS: rootFS{Type: "layers"}}
	man := manifest{SchemaVersion: 2, MediaType: mediaTypeManifest}
	for i, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.DiffID)
		config.History = append(config.History, history{created, "make images: " + img.layers[i].name})
		man.Layers = append(man.Layers, descriptor{MediaType: mediaTypeLayer, Digest: l.Digest, Size: l.Size})
	}
	var err error
	out := &archiveWriter{tar: tar.NewWriter(w), epoch: epoch}
	out.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	if man.Config, err = out.object(mediaTypeConfig, config); err != nil {
		return err
	}
	for _, l := range layers {
		out.blob(l)
	}
	described, err := out.object(mediaTypeManifest, man)
	if err != nil {
		return err
	}
	described.Platform = &platform{runtime.GOARCH, "linux"}
	top, err := json.Marshal(index{SchemaVersion: 2, MediaType: mediaTypeIndex, Manifests: named(described, img)})
	if err != nil {
		return err
	}
	out.file("index.json", top)
	if out.err != nil {
		return out.err
	}
	return out.tar.Close()
}

// named returns the descriptor of an image once for each of its names.
func named(d descriptor, img image) []descriptor {
	var all []descriptor
	for _, tag := range img.tags {
		d.Annotations = map[string]string{
			"io.containerd.image.name":          "docker.io/library/" + img.repository + ":" + tag,
			"org.opencontainers.image.ref.name": tag,
		}
		all = append(all, d)
	}
	return all
}

// An archiveWriter writes the files of an image layout. The first error sticks.
type archiveWriter struct {
	tar   *tar.Writer
	epoch time.Time
	err   error
}

func (w *archiveWriter) file(name string, content []byte) {
	w.copy(name, int64(len(content)), bytes.NewReader(content))
}

// object writes a JSON document as a blob and describes it.
func (w *archiveWriter) object(mediaType string, value any) (descriptor, error) {
	content, err := json.Marshal(value)
	if err != nil {
		return descriptor{}, err
	}
	d := descriptor{MediaType: mediaType, Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(content)), Size: int64(len(content))}
	w.file(blobPath(d.Digest), content)
	return d, nil
}

func (w *archiveWriter) blob(l layer) {
	f, err := os.Open(l.path)
	if err != nil {
		w.err = err
		return
	}
	defer f.Close()
	w.copy(blobPath(l.Digest), l.Size, f)
}

func (w *archiveWriter) copy(name string, size int64, content io.Reader) {
	if w.err != nil {
		return
	}
	w.err = w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size, ModTime: w.epoch})
	if w.err == nil {
		_, w.err = io.Copy(w.tar, content)
	}
}

func blobPath(digest string) string { return "blobs/" + strings.Replace(digest, ":", "/", 1) }
