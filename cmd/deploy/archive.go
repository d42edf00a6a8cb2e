package deploy

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"strings"

	"github.com/orlop/orlop/cmd/watch/loop"
)

// treeArchive collects the entries of a sync as tar takes them.
type treeArchive struct {
	entries int
	files   int
	removed []string // paths
	headers []tar.Header
	content []*bytes.Buffer
}

// put adds an entry. What has another kind than before is removed first.
func (a *treeArchive) put(e loop.Entry) error {
	name := strings.TrimPrefix(e.Path, "/")
	header := tar.Header{Name: name, Mode: int64(e.Mode.Perm())}
	switch e.Kind {
	case loop.More:
		if last := len(a.content) - 1; last >= 0 {
			a.content[last].Write(e.Content)
		}
		return nil
	case loop.Removal:
		a.removed = append(a.removed, e.Path)
		return nil
	case loop.Directory:
		header.Typeflag, header.Name = tar.TypeDir, name+"/"
	case loop.Symlink:
		header.Typeflag, header.Linkname = tar.TypeSymlink, e.Link
	default:
		header.Typeflag = tar.TypeReg
		a.files++
	}
	if e.Mode&fs.ModeSetuid != 0 {
		header.Mode |= 0o4000
	}
	if e.Anew {
		a.removed = append(a.removed, e.Path)
	}
	a.entries++
	a.headers = append(a.headers, header)
	a.content = append(a.content, bytes.NewBuffer(bytes.Clone(e.Content)))
	return nil
}

// bytes is the archive.
func (a *treeArchive) bytes() ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i := range a.headers {
		h := a.headers[i]
		h.Size = int64(a.content[i].Len())
		if h.Typeflag != tar.TypeReg {
			h.Size = 0
		}
		if err := w.WriteHeader(&h); err != nil {
			return nil, err
		}
		if _, err := w.Write(a.content[i].Bytes()[:h.Size]); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

func newReader(b []byte) io.Reader { return bytes.NewReader(b) }
