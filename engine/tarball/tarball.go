// Package tarball reads tar archives that users give, compressed or not. It unpacks
// nothing.
package tarball

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/pkg/archive/compression"

	"github.com/orlop/orlop/api/archive"
)

// Open gives a tar archive as it is without compression. What is none is an error; verb is
// the command that reads one from its standard input, for who has to decompress it before.
func Open(in io.Reader, verb string) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(in, archive.MessageSize)
	begin, err := buffered.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	out := &reader{close: func() error { return nil }}
	switch {
	case len(begin) == 0:
		return nil, errors.New("there is nothing in the archive")
	case string(begin) == "\xfd7zXZ\x00":
		stream, err := unxz(buffered, verb)
		if err != nil {
			return nil, err
		}
		out.Reader = stream
	case strings.HasPrefix(string(begin), "BZh"):
		out.Reader = bzip2.NewReader(buffered)
	default:
		stream, err := compression.DecompressStream(buffered)
		if err != nil {
			return nil, fmt.Errorf("cannot read the archive: %w", err)
		}
		out.Reader, out.close = stream, stream.Close
	}
	whole := bufio.NewReaderSize(out.Reader, archive.MessageSize)
	out.Reader = whole
	begin, err = whole.Peek(archive.MessageSize)
	if err != nil && !errors.Is(err, io.EOF) {
		out.Close()
		return nil, fmt.Errorf("cannot read the archive: %w", err)
	}
	if _, err := tar.NewReader(bytes.NewReader(begin)).Next(); err != nil && !errors.Is(err, io.EOF) {
		out.Close()
		return nil, errors.New("it is no tar archive, nor one that is compressed with gzip, zstd, bzip2 or xz")
	}
	return out, nil
}

// Copy copies a tar archive as it is, and tells the names of its files up to where it can't be read as one.
func Copy(out io.Writer, in io.Reader, name func(string)) error {
	buffered := bufio.NewWriterSize(out, archive.MessageSize)
	seen := io.TeeReader(in, buffered)
	files := tar.NewReader(seen)
	for {
		h, err := files.Next()
		if err != nil {
			break // who unpacks it says what is wrong with it
		}
		name(h.Name)
	}
	if _, err := io.Copy(io.Discard, seen); err != nil {
		return err
	}
	return buffered.Flush()
}

type reader struct {
	io.Reader
	close func() error
}

func (r *reader) Close() error { return r.close() }
