package image

import (
	"archive/tar"
	"fmt"
	"io"
)

// mostEntries is how many files an archive of images may have: each is a
// transaction of containerd's database. One of all images of a machine has a
// few thousand.
const mostEntries = 20_000

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
