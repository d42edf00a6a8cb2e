// Package tarball reads tar archives that users give, compressed or not. It unpacks
// nothing.
package tarball

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/pkg/archive/compression"

	"github.com/orlop/orlop/api/archive"
)

var errEmpty = errors.New("there is nothing in the archive")

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
		return nil, errEmpty
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
			return nil, unreadable(err)
		}
		out.Reader, out.close = stream, stream.Close
	}
	whole := bufio.NewReaderSize(out.Reader, archive.MessageSize)
	out.Reader = whole
	begin, err = whole.Peek(archive.MessageSize)
	if err != nil && !errors.Is(err, io.EOF) {
		out.Close()
		return nil, unreadable(err)
	}
	if len(begin) == 0 {
		out.Close()
		return nil, errEmpty
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

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	return n, explain(err)
}

func (r *reader) Close() error { return r.close() }

// broken is an archive that can't be decompressed.
type broken struct {
	what string
	err  error // the decompressor's own
}

func (b *broken) Error() string { return b.what + " fetch or save it again" }
func (b *broken) Unwrap() error { return b.err }

// unreadable is the error of an archive whose beginning can't be read.
func unreadable(err error) error {
	why := explain(err)
	if _, isBroken := errors.AsType[*broken](why); isBroken {
		return why
	}
	return fmt.Errorf("cannot read the archive: %w", err)
}

// explain says what is wrong with an archive that can't be decompressed; other errors stay as they are.
func explain(err error) error {
	_, isDeflate := errors.AsType[flate.CorruptInputError](err)
	_, isBzip2 := errors.AsType[bzip2.StructuralError](err)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &broken{"the archive ends in the middle: it was cut off,", err}
	case isDeflate, isBzip2, errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader):
		return &broken{"the archive is damaged:", err}
	}
	return err
}
