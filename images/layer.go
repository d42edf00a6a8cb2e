package main

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A layer is a compressed layer on disk and what a manifest says about it.
type layer struct {
	path   string
	Digest string `json:"digest"` // of the compressed file, "sha256:..."
	DiffID string `json:"diffID"` // of the tar inside
	Size   int64  `json:"size"`   // bytes, compressed
}

// A layerWriter writes a layer whose bytes depend on nothing but the content: no time is later than the epoch, and no
// name of a user of this machine gets in. The first error sticks in err, so that callers check once.
type layerWriter struct {
	epoch time.Time
	err   error

	tar        *tar.Writer
	gzip       *gzip.Writer
	buffer     *bufio.Writer
	compressed hash.Hash
	plain      hash.Hash
	size       int64
}

func newLayerWriter(w io.Writer, epoch time.Time) *layerWriter {
	out := &layerWriter{epoch: epoch, compressed: sha256.New(), plain: sha256.New()}
	out.buffer = bufio.NewWriterSize(io.MultiWriter(w, out.compressed, (*counter)(&out.size)), 1<<20)
	out.gzip, _ = gzip.NewWriterLevel(out.buffer, gzip.BestSpeed) // fails for unknown levels only
	out.tar = tar.NewWriter(io.MultiWriter(out.gzip, out.plain))
	return out
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// close ends the layer and returns its facts, without a path.
func (w *layerWriter) close() (layer, error) {
	err := errors.Join(w.err, w.tar.Close(), w.gzip.Close(), w.buffer.Flush())
	return layer{
		Digest: fmt.Sprintf("sha256:%x", w.compressed.Sum(nil)),
		DiffID: fmt.Sprintf("sha256:%x", w.plain.Sum(nil)),
		Size:   w.size,
	}, err
}

func (w *layerWriter) dir(name string, mode int64) {
	w.entry(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, ModTime: w.epoch}, nil)
}

func (w *layerWriter) link(name, target string) {
	w.entry(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777, ModTime: w.epoch}, nil)
}

func (w *layerWriter) file(name string, mode int64, content []byte) {
	w.entry(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content)), ModTime: w.epoch},
		strings.NewReader(string(content)))
}

func (w *layerWriter) entry(header *tar.Header, content io.Reader) {
	if w.err != nil {
		return
	}
	if header.ModTime.After(w.epoch) {
		header.ModTime = w.epoch
	}
	header.AccessTime, header.ChangeTime = time.Time{}, time.Time{}
	header.Format = tar.FormatPAX
	if w.err = w.tar.WriteHeader(header); w.err == nil && content != nil {
		_, w.err = io.Copy(w.tar, content)
	}
}

// tree takes over the entries of another tar, those that keep says yes to, in their order.
func (w *layerWriter) tree(in *tar.Reader, keep func(name string) bool) error {
	for w.err == nil {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		header.Name = strings.TrimPrefix(header.Name, "./")
		if header.Name == "" || !keep(header.Name) {
			continue
		}
		if header.Typeflag == tar.TypeLink {
			header.Linkname = strings.TrimPrefix(header.Linkname, "./")
		}
		w.entry(header, in)
	}
	return w.err
}

// copyTree writes the files below root, those that keep says yes to, below prefix. They belong to root there, and
// anybody may read them.
func (w *layerWriter) copyTree(root, prefix string, keep func(name string) bool) error {
	w.dir(prefix, 0o755)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if !keep(name) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		return w.copyEntry(path, filepath.Join(prefix, name), entry)
	})
	return errors.Join(err, w.err)
}

func (w *layerWriter) copyEntry(path, name string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	switch {
	case info.IsDir():
		w.dir(name, 0o755)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		w.link(name, target)
	case info.Mode().IsRegular():
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		mode := int64(0o644)
		if info.Mode()&0o111 != 0 {
			mode = 0o755
		}
		w.entry(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: info.Size(), ModTime: info.ModTime()}, f)
	}
	return w.err
}
