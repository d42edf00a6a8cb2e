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
		buf := make([]byte, filePart)
		for first := true; ; first = false {
			n, err := io.ReadFull(content, buf)
			ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
			if err != nil && !ended {
				return err
			}
			if n > 0 || first {
				if err := stream.Send(&api.FilePart{Path: name, Content: buf[:n]}); err != nil {
					return err
				}
			}
			if ended {
				return nil
			}
		}
	})
}
