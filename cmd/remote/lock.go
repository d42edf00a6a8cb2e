package remote

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	distribution "github.com/distribution/reference"
	"gopkg.in/yaml.v3"

	"github.com/orlop/orlop/spec/userfile"
	"github.com/orlop/orlop/spec/yamlfile"
)

// LockFile is the name of the file that says which digests references stand for.
// It is in the project's directory, and made to be committed.
const LockFile = "orlop.lock"

const lockHead = `# What the remote stacks of this project are. Commit this file; to update it: orlop config --update-remotes
`

const imagesHead = `# What the remote stacks and images of this project are. Commit this file; to update it: orlop config --update-remotes, orlop lock
`

// lock is what a lock file says.
type lock struct {
	path    string
	isThere bool
	digests map[string]string // by the name of the reference
	images  map[string]string // by the name of the image
}

// lockDocument is the lock file as YAML.
type lockDocument struct {
	Version int               `yaml:"version"`
	Remotes map[string]string `yaml:"remotes,omitempty"`
	Images  map[string]string `yaml:"images,omitempty"`
}

// Versions of the lock file: the second one is that of one with images.
const (
	lockVersion = 1
	withImages  = 2
)

// readLock reads the lock file of a directory. The lock is whole also where there is
// an error: it is empty.
func readLock(dir string) (*lock, error) {
	l := &lock{path: filepath.Join(dir, LockFile), digests: map[string]string{}, images: map[string]string{}}
	text, err := userfile.Read(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	l.isThere = true
	if err != nil {
		return l, fmt.Errorf("cannot read %s: %w", LockFile, errors.Unwrap(err))
	}
	var doc lockDocument
	at, err := yamlfile.Decode(LockFile, text, &doc)
	if err != nil {
		return l, damaged(err)
	}
	if doc.Version != lockVersion && doc.Version != withImages {
		return l, fmt.Errorf("%s is of version %d, and this command knows version %d: use the command that wrote it", LockFile, doc.Version, withImages)
	}
	for name, digest := range doc.Remotes {
		if !commitForm().MatchString(digest) && !digestForm().MatchString(digest) {
			return l, damaged(fmt.Errorf("%s: %q of %s is neither a commit nor a digest", at.At("remotes", name), digest, name))
		}
	}
	for name, digest := range doc.Images {
		if !digestForm().MatchString(digest) {
			return l, damaged(fmt.Errorf("%s: %q of %s is not a digest", at.At("images", name), digest, name))
		}
	}
	maps.Copy(l.digests, doc.Remotes)
	maps.Copy(l.images, doc.Images)
	return l, nil
}

func damaged(err error) error {
	said := strings.ReplaceAll(err.Error(), "\n", "; ")
	return fmt.Errorf(`the lock is damaged: %s: mend it, or make it anew with "orlop config --update-remotes"`, said)
}

func (l *lock) digestOf(name string) string {
	if l == nil {
		return ""
	}
	return l.digests[name]
}

// Save writes what the load has used into the lock file of the project, if that says something else.
// create says that there may be none yet. After an update the file has nothing else.
func (s *Stacks) Save(projectDir string, create bool) (changes []string, err error) {
	if s.lock == nil && s.Update {
		s.lock, _ = readLock(projectDir) // a damaged one is made anew
	}
	if s.lock == nil || s.Offline || len(s.used) == 0 && !s.Update || !s.lock.isThere && !create {
		return nil, nil
	}
	now, err := readLock(filepath.Dir(s.lock.path)) // another command may have written it since
	if err != nil && !s.Update {
		return nil, err
	}
	want := maps.Clone(s.used)
	if !s.Update {
		want = maps.Clone(now.digests)
		maps.Copy(want, s.used)
	}
	if maps.Equal(want, now.digests) && err == nil {
		return nil, nil
	}
	if err := writeLock(s.lock.path, want, now.images); err != nil {
		return nil, fmt.Errorf("cannot write %s: %w: which remote stacks are used is not kept", LockFile, err)
	}
	return differences(now.digests, want), nil
}

// Images are the digests of images that the lock file of a project has, by their names as LockName gives
// them. isThere says that it has any.
func Images(projectDir string) (images map[string]string, isThere bool, err error) {
	l, err := readLock(projectDir)
	if err != nil {
		return nil, false, err
	}
	return l.images, len(l.images) > 0, nil
}

// Locked is the digest that the lock file of a project has for a remote stack; "" if none.
func Locked(projectDir, name string) (string, error) {
	l, err := readLock(projectDir)
	return l.digestOf(name), err
}

// SaveImages writes the digests of images into the lock file of a project, in place of those that it
// has. A dry run only says what would change.
func SaveImages(projectDir string, images map[string]string, dryRun bool) (changes []string, err error) {
	l, err := readLock(projectDir)
	if err != nil {
		return nil, err
	}
	if maps.Equal(l.images, images) {
		return nil, nil
	}
	if dryRun {
		return differences(l.images, images), nil
	}
	if err := writeLock(l.path, l.digests, images); err != nil {
		return nil, fmt.Errorf("cannot write %s: %w", LockFile, err)
	}
	return differences(l.images, images), nil
}

// LockName is the name under which an image is locked: short, with its tag. It is "" of one that is named by a digest,
// and needs no lock.
func LockName(ref string) (string, error) {
	named, err := distribution.ParseNormalizedNamed(ref)
	if err != nil {
		return "", fmt.Errorf("%q is not an image reference: %w", ref, err)
	}
	if _, isPinned := named.(distribution.Digested); isPinned {
		return "", nil
	}
	return distribution.FamiliarString(distribution.TagNameOnly(named)), nil
}

// writeLock writes a lock file as a whole; without any entry there is none.
func writeLock(path string, digests, images map[string]string) error {
	if len(digests)+len(images) == 0 {
		err := os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	var text bytes.Buffer
	doc := lockDocument{Version: lockVersion, Remotes: digests}
	if len(images) > 0 {
		doc.Version, doc.Images = withImages, images
		text.WriteString(imagesHead)
	} else {
		text.WriteString(lockHead)
	}
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(doc); err != nil {
		return err
	}
	return replaceFile(path, text.Bytes(), 0o644)
}

// replaceFile writes a file that is there as a whole or not at all.
func replaceFile(path string, text []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // where it was not renamed
	_, err = f.Write(text)
	if err := errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// differences are lines that say what has changed of a lock.
func differences(from, to map[string]string) []string {
	names := map[string]bool{}
	for _, digests := range []map[string]string{from, to} {
		for name := range digests {
			names[name] = true
		}
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		switch old, now := from[name], to[name]; {
		case old == now:
		case old == "":
			lines = append(lines, fmt.Sprintf("%s is %s", name, Short(now)))
		case now == "":
			lines = append(lines, fmt.Sprintf("%s is named no more", name))
		default:
			lines = append(lines, fmt.Sprintf("%s: %s -> %s", name, Short(old), Short(now)))
		}
	}
	return lines
}

// Short is a digest or a commit as it is shown.
func Short(digest string) string {
	if digestForm().MatchString(digest) {
		digest = digest[len("sha256:"):]
	}
	return digest[:min(len(digest), 12)]
}
