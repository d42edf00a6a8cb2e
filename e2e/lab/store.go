package lab

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// store is a registry that keeps all in memory and believes everybody: the part
// of the OCI Distribution Specification that clients pull and push by. A repository has
// the blobs that were sent to it or mounted.
type store struct {
	mu        sync.Mutex // guards what follows
	blobs     map[digest.Digest][]byte
	owned     map[string]bool     // "repository@digest" of blobs
	manifests map[string]manifest // by "repository:tag" and "repository@digest"
	uploads   map[string][]byte
	begun     int // uploads
}

type manifest struct {
	mediaType string
	content   []byte
}

func newStore() *store {
	return &store{blobs: map[digest.Digest][]byte{}, owned: map[string]bool{}, manifests: map[string]manifest{}, uploads: map[string][]byte{}}
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body) // before the lock: several come at once
	r.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil {
		refuse(w, http.StatusBadRequest, "BLOB_UPLOAD_INVALID")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rest, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	switch repository, upload, isUpload := strings.Cut(rest, "/blobs/uploads/"); {
	case ok && rest == "":
	case ok && isUpload:
		s.upload(w, r, repository, upload)
	case ok && strings.Contains(rest, "/blobs/"):
		repository, d, _ := strings.Cut(rest, "/blobs/")
		s.blob(w, r, repository, digest.Digest(d))
	case ok && strings.Contains(rest, "/manifests/"):
		repository, reference, _ := strings.Cut(rest, "/manifests/")
		s.manifest(w, r, repository, reference)
	case ok && strings.HasSuffix(rest, "/tags/list"):
		s.tags(w, strings.TrimSuffix(rest, "/tags/list"))
	default:
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN")
	}
}

func (s *store) tags(w http.ResponseWriter, repository string) {
	list := struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{Name: repository}
	for key := range s.manifests {
		if tag, ok := strings.CutPrefix(key, repository+":"); ok {
			list.Tags = append(list.Tags, tag)
		}
	}
	if len(list.Tags) == 0 {
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN")
		return
	}
	slices.Sort(list.Tags)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list)
}

// refuse answers with an error of the specification.
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q}]}`, code)
}

func (s *store) blob(w http.ResponseWriter, r *http.Request, repository string, d digest.Digest) {
	content := s.blobs[d]
	if !s.owned[repository+"@"+d.String()] {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN")
		return
	}
	w.Header().Set("Docker-Content-Digest", d.String())
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// look says how many bytes the blob at a path has, and whether it is a layer.
func (s *store) look(name string) (size int, isLayer bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	blob := s.blobs[digest.Digest(path.Base(name))]
	return len(blob), len(blob) > 0 && blob[0] != '{'
}

// upload takes a blob in: whole, in parts, or by naming one that is there.
func (s *store) upload(w http.ResponseWriter, r *http.Request, repository, id string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		refuse(w, http.StatusBadRequest, "BLOB_UPLOAD_INVALID")
		return
	}
	query := r.URL.Query()
	if id == "" {
		if mounted := digest.Digest(query.Get("mount")); s.owned[query.Get("from")+"@"+mounted.String()] {
			s.uploaded(w, repository, mounted)
			return
		}
		s.begun++
		id = strconv.Itoa(s.begun)
		s.uploads[id] = nil
	}
	if _, isKnown := s.uploads[id]; !isKnown {
		refuse(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
		return
	}
	if first, _, isPart := strings.Cut(r.Header.Get("Content-Range"), "-"); isPart && first != strconv.Itoa(len(s.uploads[id])) {
		refuse(w, http.StatusRequestedRangeNotSatisfiable, "RANGE_INVALID")
		return
	}
	s.uploads[id] = append(s.uploads[id], body...)
	if want := digest.Digest(query.Get("digest")); want != "" {
		content := s.uploads[id]
		delete(s.uploads, id)
		if digest.FromBytes(content) != want {
			refuse(w, http.StatusBadRequest, "DIGEST_INVALID")
			return
		}
		s.blobs[want] = content
		s.uploaded(w, repository, want)
		return
	}
	w.Header().Set("Location", "/v2/"+repository+"/blobs/uploads/"+id)
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, len(s.uploads[id])-1)))
	if r.Method == http.MethodGet {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func (s *store) uploaded(w http.ResponseWriter, repository string, d digest.Digest) {
	s.owned[repository+"@"+d.String()] = true
	w.Header().Set("Location", "/v2/"+repository+"/blobs/"+d.String())
	w.Header().Set("Docker-Content-Digest", d.String())
	w.WriteHeader(http.StatusCreated)
}

func (s *store) manifest(w http.ResponseWriter, r *http.Request, repository, reference string) {
	key := repository + ":" + reference
	if strings.Contains(reference, ":") {
		key = repository + "@" + reference
	}
	if r.Method == http.MethodPut {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			refuse(w, http.StatusBadRequest, "MANIFEST_INVALID")
			return
		}
		m := manifest{r.Header.Get("Content-Type"), content}
		s.manifests[key], s.manifests[repository+"@"+digest.FromBytes(content).String()] = m, m
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(content).String())
		w.WriteHeader(http.StatusCreated)
		return
	}
	m, ok := s.manifests[key]
	if !ok {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN")
		return
	}
	w.Header().Set("Docker-Content-Digest", digest.FromBytes(m.content).String())
	w.Header().Set("Content-Type", m.mediaType)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(m.content))
}

// add puts an image under "repository:tag".
func (s *store) add(name string, image []byte, blobs map[digest.Digest][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	repository, _, _ := strings.Cut(name, ":")
	for d, content := range blobs {
		s.blobs[d], s.owned[repository+"@"+d.String()] = content, true
	}
	m := manifest{v1.MediaTypeImageManifest, image}
	s.manifests[name], s.manifests[repository+"@"+digest.FromBytes(image).String()] = m, m
}

// withOwnLayer is the first image of an OCI archive with a layer that holds its
// name, so that no image has the same bytes as another, and each is really
// transferred.
func withOwnLayer(files map[string][]byte, name string) (image []byte, blobs map[digest.Digest][]byte, err error) {
	blobs = map[digest.Digest][]byte{}
	blob := func(d digest.Digest) []byte {
		return files[path.Join(v1.ImageBlobsDir, d.Algorithm().String(), d.Encoded())]
	}
	put := func(content []byte) digest.Digest {
		blobs[digest.FromBytes(content)] = content
		return digest.FromBytes(content)
	}
	var index v1.Index
	var m v1.Manifest
	var config v1.Image
	if err := json.Unmarshal(files[v1.ImageIndexFile], &index); err != nil || len(index.Manifests) == 0 {
		return nil, nil, fmt.Errorf("it has no index of images: %w", err)
	}
	if err := errors.Join(json.Unmarshal(blob(index.Manifests[0].Digest), &m), json.Unmarshal(blob(m.Config.Digest), &config)); err != nil {
		return nil, nil, err
	}
	for _, l := range m.Layers {
		put(blob(l.Digest))
	}
	text, err := layer("etc/image-name", name+"\n")
	if err != nil {
		return nil, nil, err
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, err = zip.Write(text)
	if err = errors.Join(err, zip.Close()); err != nil {
		return nil, nil, err
	}
	config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(text))
	config.History = append(config.History, v1.History{CreatedBy: "lab"})
	m.Layers = append(m.Layers, v1.Descriptor{MediaType: v1.MediaTypeImageLayerGzip, Digest: put(packed.Bytes()), Size: int64(packed.Len())})
	document, err := json.Marshal(config)
	if err != nil {
		return nil, nil, err
	}
	m.Config = v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: put(document), Size: int64(len(document))}
	m.MediaType = v1.MediaTypeImageManifest
	image, err = json.Marshal(m)
	return image, blobs, err
}

// layer is a layer with one file.
func layer(name, content string) ([]byte, error) {
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = io.WriteString(t, content)
	}
	return b.Bytes(), errors.Join(err, t.Close())
}

// readArchive reads the files of an OCI archive.
func readArchive(name string) (map[string][]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	files := map[string][]byte{}
	for t := tar.NewReader(f); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if files[path.Clean(h.Name)], err = io.ReadAll(t); err != nil {
			return nil, err
		}
	}
}
