package engine

import (
	"errors"
	"io"

	"github.com/orlop/orlop/api"
)

// filePart is how much of a file one message carries, in bytes.
const filePart = 1 << 20

// ReadFiles sends files of a container.
func (s *server) ReadFiles(req *api.ReadFilesRequest, stream api.Engine_ReadFilesServer) error {
	return s.runner.ReadFiles(stream.Context(), req.Container, req.Patterns, func(name string, content io.Reader) error {
		return sendFile(name, content, stream.Send)
	})
}

// sendFile sends a file in parts: one at least, so that an empty file is told of.
// A part is send's until it returns.
func sendFile(name string, content io.Reader, send func(*api.FilePart) error) error {
	buf := make([]byte, filePart)
	for first := true; ; first = false {
		n, err := io.ReadFull(content, buf)
		ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !ended {
			return err
		}
		if n > 0 || first {
			if err := send(&api.FilePart{Path: name, Content: buf[:n]}); err != nil {
				return err
			}
		}
		if ended {
			return nil
		}
	}
}
