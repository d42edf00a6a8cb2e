package provider

import (
	"context"
	"encoding/json"
	"io"
	"net/http/httputil"
)

// Image is what a provider is to have of a service's image, where it runs.
type Image struct {
	Name    string
	Digest  string // of what is here; "": nothing is
	Created string
	// IsLocal says that what is here counts; else what its registry has.
	IsLocal bool
	// IsFresh asks for the newest; else any that is there will do.
	IsFresh bool
	// Save writes an image that is here as an archive.
	Save func(ctx context.Context, name, platform string, out io.Writer) error
}

// flags are those of the call.
func (i *Image) flags() []string {
	source, policy := "registry", "missing"
	if i.IsLocal {
		source = "local"
	}
	if i.IsFresh {
		policy = "always"
	}
	args := []string{"--image=" + i.Name, "--source=" + source, "--policy=" + policy}
	if i.Digest != "" {
		args = append(args, "--digest="+i.Digest)
	}
	if i.Created != "" {
		args = append(args, "--created="+i.Created)
	}
	return args
}

// announcement is the line before an image.
type announcement struct {
	Type      string `json:"type"`
	Encoding  string `json:"encoding,omitempty"`
	MediaType string `json:"media-type,omitempty"`
	Error     string `json:"error,omitempty"`
}

// send answers a provider that asks for an image: a line, then the archive in chunks (RFC 9112, 7.1) up to that of no
// length, which an image that could not be sent whole lacks.
func (i *Image) send(ctx context.Context, to io.Writer, asked message) error {
	out := &announced{to: to}
	err := i.Save(ctx, asked.Message, asked.Platform, out)
	if err != nil && out.chunks == nil {
		return line(to, announcement{Type: "image-stream", Error: err.Error()})
	}
	if err != nil {
		return err
	}
	if err := out.begin(); err != nil {
		return err
	}
	return out.chunks.Close()
}

func line(to io.Writer, a announcement) error {
	text, err := json.Marshal(a)
	if err == nil {
		_, err = to.Write(append(text, '\n'))
	}
	return err
}

// announced writes in chunks, behind a line.
type announced struct {
	to     io.Writer
	chunks io.WriteCloser // nil: nothing was written
}

func (a *announced) begin() error {
	if a.chunks != nil {
		return nil
	}
	a.chunks = httputil.NewChunkedWriter(a.to)
	return line(a.to, announcement{Type: "image-stream", Encoding: "chunked", MediaType: "application/x-tar"})
}

func (a *announced) Write(p []byte) (int, error) {
	if err := a.begin(); err != nil {
		return 0, err
	}
	return a.chunks.Write(p)
}
