package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/disk"
)

// Bounds of an archive of images.
const (
	// mostEntries is how many files it may have: each is a transaction of containerd's
	// database. One of all images of a machine has a few thousand.
	mostEntries = 20_000
	// mostImages is how many images and names it may list.
	mostImages = 2_000
	// dockerManifest is the file that lists them in an archive of "docker save".
	dockerManifest = "manifest.json"
	// chunk is how many bytes of a file are handed on at a time.
	chunk = 64 << 10
)

// screen reads an archive and gives the part of it that images consist of, each
// file once it is within bounds: a few bytes of an archive can stand for a
// terabyte, of zeros or of memory.
type screen struct {
	in      *tar.Reader
	most    int                     // entries
	fits    func(bytes int64) error // on the disk
	out     *tar.Writer             // to ready
	ready   bytes.Buffer            // what is read next
	within  bool                    // a file
	entries int
	has     Contents
	err     error // of the archive, once ready is read
}

func newScreen(in io.Reader, most int, fits func(bytes int64) error) *screen {
	s := &screen{in: tar.NewReader(in), most: most, fits: fits}
	s.out = tar.NewWriter(&s.ready)
	return s
}

// Read reads on.
func (s *screen) Read(p []byte) (int, error) {
	for s.ready.Len() == 0 {
		if s.err != nil {
			return 0, s.err
		}
		if s.err = s.step(); errors.Is(s.err, io.EOF) {
			if err := s.out.Close(); err != nil {
				s.err = err
			}
		}
	}
	return s.ready.Read(p)
}

// step hands on a part of a file, or the head of the next one.
func (s *screen) step() error {
	if s.within {
		_, err := io.CopyN(s.out, s.in, chunk)
		if errors.Is(err, io.EOF) {
			s.within = false
			return s.out.Flush()
		}
		return err
	}
	h, err := s.in.Next()
	if err != nil {
		return err // containerd says what the end of it lacks
	}
	if s.entries++; s.entries > s.most {
		return fmt.Errorf("the archive has more than %d files: that is no archive of images", s.most)
	}
	if n := max(len(h.Name), len(h.Linkname)); n >= unix.PathMax {
		return fmt.Errorf("the archive has a file, %.100q, whose name or target has %d bytes: that is no archive of images", h.Name, n)
	}
	switch h.Typeflag {
	case tar.TypeReg:
		return s.file(h)
	case tar.TypeDir, tar.TypeSymlink:
		return s.out.WriteHeader(&tar.Header{Typeflag: h.Typeflag, Name: h.Name, Linkname: h.Linkname, Format: tar.FormatPAX})
	}
	return nil // images consist of nothing else
}

func (s *screen) file(h *tar.Header) error {
	head := &tar.Header{Typeflag: tar.TypeReg, Name: h.Name, Size: h.Size, Format: tar.FormatPAX}
	s.has.Note(h.Name)
	switch name := path.Clean(h.Name); name {
	case dockerManifest, ocispec.ImageIndexFile, ocispec.ImageLayoutFile:
		if h.Size > mostDocument {
			return fmt.Errorf("%s of the archive has %d bytes, more than the %d that one may have", name, h.Size, mostDocument)
		}
		text, err := io.ReadAll(s.in)
		if err == nil && name == dockerManifest {
			err = fewImages(text)
		}
		if err != nil {
			return err
		}
		if err := s.out.WriteHeader(head); err != nil {
			return err
		}
		_, err = s.out.Write(text)
		return errors.Join(err, s.out.Flush())
	}
	if err := s.fits(h.Size); err != nil {
		return fmt.Errorf("the archive has a file of %s, %.200q: %w", disk.Bytes(h.Size), h.Name, err)
	}
	s.within = true
	return s.out.WriteHeader(head)
}

// fewImages is an error if a list of images is so long that no one has them.
func fewImages(text []byte) error {
	var list []struct{ RepoTags []json.RawMessage }
	if json.Unmarshal(text, &list) != nil {
		return nil // containerd says what is wrong with it
	}
	n := len(list)
	for _, l := range list {
		n += len(l.RepoTags)
	}
	if n > mostImages {
		return fmt.Errorf("the archive lists more than %d images and names: that is no archive of images", mostImages)
	}
	return nil
}
