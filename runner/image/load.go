package image

import (
	"archive/tar"
	"context"
	"fmt"
	"io"

	containerd "github.com/containerd/containerd/v2/client"
)

// mostEntries is how many files an archive of images may have: each is a
// transaction of containerd's database. One of all images of a machine has a
// few thousand.
const mostEntries = 20_000

// Load imports the images of an OCI or Docker archive and gives their names.
func (s *Store) Load(ctx context.Context, archive io.Reader) ([]string, error) {
	counted, done := countEntries(archive, mostEntries)
	list, err := s.client.Import(ctx, counted, containerd.WithAllPlatforms(false), containerd.WithSkipMissing())
	if limit := done(); limit != nil {
		err = limit
	}
	if err != nil {
		return nil, fmt.Errorf("cannot load images: %w", plainError(err))
	}
	var names []string
	for _, img := range list {
		names = append(names, img.Name)
		if err := containerd.NewImage(s.client, img).Unpack(ctx, Snapshotter); err != nil {
			return names, fmt.Errorf("cannot unpack image %s: %w", img.Name, plainError(err))
		}
	}
	return names, nil
}

// countEntries passes an archive on until it has more entries than most. done
// gives the error that it ended with then; nobody may read any more.
func countEntries(in io.Reader, most int) (out io.Reader, done func() error) {
	pr, pw := io.Pipe()
	counted := make(chan error, 1)
	go func() {
		err := tooMany(pr, most)
		counted <- err
		if err != nil {
			pr.CloseWithError(err)
			return
		}
		_, _ = io.Copy(io.Discard, pr) // what follows the archive, or is none, is not ours to judge
	}()
	return io.TeeReader(in, pw), func() error { pw.Close(); return <-counted }
}

func tooMany(in io.Reader, most int) error {
	t := tar.NewReader(in)
	for n := 0; ; n++ {
		if n > most {
			return fmt.Errorf("the archive has more than %d files: that is no archive of images", most)
		}
		if _, err := t.Next(); err != nil {
			return nil // containerd says what is wrong with it
		}
	}
}
