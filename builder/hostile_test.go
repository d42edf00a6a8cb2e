package builder

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/spec"
)

// inputsSoon computes fingerprints that must not keep the test waiting.
func inputsSoon(t *testing.T, b *spec.Build) error {
	t.Helper()
	got := make(chan error, 1)
	go func() {
		if err := Check(project(b), []string{"web"}); err != nil {
			got <- err
			return
		}
		_, err := Inputs(t.Context(), project(b), []string{"web"}, Options{})
		got <- err
	}()
	select {
	case err := <-got:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for ever")
		return nil
	}
}

// TestAPipeInPlaceOfAFileOfABuild is refused, also behind a link.
//
// Fault 37: a pipe in the place of a Dockerfile or of an ignore file, and one among the files of the context
// Seen: an error that names the file and what it is; what is no file, directory or link takes no part
// Kept: nothing waits for who never writes
func TestAPipeInPlaceOfAFileOfABuild(t *testing.T) {
	for _, name := range []string{"Dockerfile", ".dockerignore", "Dockerfile.dockerignore"} {
		dir := tree(t, map[string]string{"Dockerfile": "FROM scratch\n", "a": ""})
		path := filepath.Join(dir, name)
		os.Remove(path)
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		err := inputsSoon(t, &spec.Build{Context: dir})
		if err == nil || !strings.Contains(err.Error(), name+": it is a pipe, not a regular file") {
			t.Errorf("%s: %v", name, err)
		}
	}
	dir := tree(t, map[string]string{"Dockerfile": "FROM scratch\n"})
	if err := unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := inputsSoon(t, &spec.Build{Context: dir}); err != nil {
		t.Errorf("a pipe among the files: %v", err)
	}
}

// TestANameThatIsNotText is told before anything is sent.
//
// Fault 38: a file, a directory or the target of a link in a build context has a name that is not UTF-8
// Seen: an error that quotes the name and says to rename it or to leave it out; left out by .dockerignore, it is no fault
// Kept: nothing was sent
func TestANameThatIsNotText(t *testing.T) {
	for name, files := range map[string]map[string]string{
		`/caf\xe9": its name is not UTF-8 text`:                     {"caf\xe9": ""},
		`/d\xff": its name is not UTF-8 text`:                       {"d\xff/": ""},
		`/link: it is a link to "caf\xe9", which is not UTF-8 text`: {"link": "->caf\xe9"},
	} {
		dir := tree(t, map[string]string{"Dockerfile": "FROM scratch\n"})
		write(t, dir, files)
		err := inputsSoon(t, &spec.Build{Context: dir})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %s", err, name)
		}
		write(t, dir, map[string]string{".dockerignore": "*\n!Dockerfile\n"})
		if err := inputsSoon(t, &spec.Build{Context: dir}); err != nil {
			t.Errorf("left out: %v", err)
		}
	}
}

// TestAFileOfHolesIsNotRead, nor sent: a build would get all of it.
//
// Fault 38: a sparse file of 1 TB in a build context, of which 4 KB are written
// Seen: an error that names it, says how much of it is written and to leave it out; left out by .dockerignore, it is no fault
// Kept: nothing was read or sent; a sparse file of a size that can be sent is known by what is written of it
func TestAFileOfHolesIsNotRead(t *testing.T) {
	dir := tree(t, map[string]string{"Dockerfile": "FROM scratch\n", "disk.img": strings.Repeat("x", 4096)})
	disk := filepath.Join(dir, "disk.img")
	if err := os.Truncate(disk, 1<<40); err != nil {
		t.Skipf("SKIPPED: no such file can be made here: %v", err)
	}
	err := inputsSoon(t, &spec.Build{Context: dir})
	if err == nil || !strings.Contains(err.Error(), "cannot send "+disk+": it is a sparse file of 1.1 TB, of which 4.1 kB are written") || !strings.Contains(err.Error(), ".dockerignore") {
		t.Errorf("%v", err)
	}
	write(t, dir, map[string]string{".dockerignore": "*.img\n"})
	if err := inputsSoon(t, &spec.Build{Context: dir}); err != nil {
		t.Errorf("left out: %v", err)
	}
	write(t, dir, map[string]string{".dockerignore": ""})
	if err := os.Truncate(disk, 1<<32); err != nil {
		t.Fatal(err)
	}
	sum := func() string { return fingerprint(t, &spec.Build{Context: dir}, Options{}).Files["disk.img"] }
	first := sum()
	if again := sum(); first == "" || again != first {
		t.Errorf("its sums are %q and %q", first, again)
	}
	f, err := os.OpenFile(disk, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("y"), 1<<31); err != nil {
		t.Fatal(err)
	}
	if sum() == first {
		t.Error("what was written into a hole does not count")
	}
}

// TestReadingAContextIsInterrupted in the middle of a file, and told of while it goes on.
func TestReadingAContextIsInterrupted(t *testing.T) {
	dir := tree(t, map[string]string{"Dockerfile": "FROM scratch\n", "big": strings.Repeat("x", 1<<20)})
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupt := errors.New("interrupted")
	r := newReading(func(text string) {
		if !strings.Contains(text, "of the build context") || !strings.Contains(text, dir+"/big") {
			t.Errorf("told is %q", text)
		}
		cancel(interrupt)
	})
	r.next = time.Time{} // it has gone on for long
	if _, err := r.hash(ctx, filepath.Join(dir, "big")); !errors.Is(err, interrupt) {
		t.Errorf("%v", err)
	}
}
