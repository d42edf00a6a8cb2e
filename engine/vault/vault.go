// Package vault keeps secrets and configs that stacks use and don't bring: those that
// they call external. Contents are on the disk, sealed with a key of the engine. It
// knows nothing of containers.
package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orlop/orlop/runner/disk"
)

// Kind is what an entry is.
type Kind string

// Kinds of entries, by the sections of a stack file.
const (
	Secrets Kind = "secrets"
	Configs Kind = "configs"
)

// Entry is a secret or config without its content.
type Entry struct {
	Kind    Kind              `json:"kind"`
	Name    string            `json:"name"`
	Labels  map[string]string `json:"labels,omitempty"`
	Created time.Time         `json:"created"`
	Updated time.Time         `json:"updated"`
}

// Errors of a Vault.
var (
	ErrAbsent = errors.New("there is none of that name")
	ErrExists = errors.New("there is one of that name")
)

// MostContent is how long a content may be, bytes: as in Docker.
const MostContent = 500 << 10

// Vault is a directory of entries.
type Vault struct {
	dir string
	key string // path of the key
	now func() time.Time
	mu  sync.Mutex // held by who changes entries or makes the key
}

// New is the vault below an engine's root.
func New(root string, now func() time.Time) *Vault {
	return &Vault{dir: filepath.Join(root, "vault"), key: filepath.Join(root, "vault-key"), now: now}
}

// sealed is an entry as it is in its file.
type sealed struct {
	Entry
	Nonce   []byte `json:"nonce"`
	Content []byte `json:"content"` // AES-256-GCM
}

// names are those of Docker's secrets.
var names = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9_.-]{0,62}[a-zA-Z0-9])?$`)

// Put keeps a content. One that is there is replaced where that is asked for.
func (v *Vault) Put(e Entry, content []byte, replace bool) (Entry, error) {
	if !names.MatchString(e.Name) {
		return e, fmt.Errorf("%q is not a name: it has up to 64 letters, digits, and in between dashes, dots and underscores", e.Name)
	}
	if len(content) == 0 || len(content) > MostContent {
		return e, fmt.Errorf("a content of %d bytes can't be kept: 1 to %d are possible", len(content), MostContent)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	e.Created, e.Updated = v.now().UTC(), v.now().UTC()
	switch old, err := v.load(e.Kind, e.Name); {
	case errors.Is(err, ErrAbsent):
	case err != nil:
		return e, err
	case !replace:
		return e, ErrExists
	default:
		e.Created = old.Created
		if e.Labels == nil {
			e.Labels = old.Labels
		}
	}
	box, err := v.box(true)
	if err != nil {
		return e, err
	}
	s := sealed{Entry: e, Nonce: make([]byte, box.NonceSize())}
	rand.Read(s.Nonce)
	s.Content = box.Seal(nil, s.Nonce, content, boundTo(e.Kind, e.Name))
	doc, err := json.Marshal(s)
	if err != nil {
		return e, err
	}
	if err := os.MkdirAll(filepath.Dir(v.path(e.Kind, e.Name)), 0o700); err != nil {
		return e, err
	}
	return e, disk.Write(v.path(e.Kind, e.Name), doc)
}

// Content is the content of an entry.
func (v *Vault) Content(kind Kind, name string) ([]byte, error) {
	s, err := v.load(kind, name)
	if err != nil {
		return nil, err
	}
	box, err := v.box(false)
	if err != nil {
		return nil, err
	}
	content, err := box.Open(nil, s.Nonce, s.Content, boundTo(kind, name))
	if err != nil {
		return nil, fmt.Errorf("it can't be opened with the key in %s, or was changed by others: create it again", v.key)
	}
	return content, nil
}

// Stored is the content of an entry, by the section of a stack file.
func (v *Vault) Stored(section, name string) ([]byte, error) { return v.Content(Kind(section), name) }

// Entries are all of a kind, by name. One that can't be read is left out, and told of.
func (v *Vault) Entries(kind Kind) (list []Entry, err error) {
	files, err := os.ReadDir(filepath.Join(v.dir, string(kind)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var errs []error
	for _, f := range files {
		if strings.HasPrefix(f.Name(), ".") { // that is being written, or was when the engine was lost
			continue
		}
		s, err := v.load(kind, f.Name())
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.Name(), err))
			continue
		}
		list = append(list, s.Entry)
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return list, errors.Join(errs...)
}

// Find is one entry.
func (v *Vault) Find(kind Kind, name string) (Entry, error) {
	s, err := v.load(kind, name)
	return s.Entry, err
}

// Remove forgets an entry.
func (v *Vault) Remove(kind Kind, name string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !names.MatchString(name) {
		return ErrAbsent
	}
	err := os.Remove(v.path(kind, name))
	if errors.Is(err, fs.ErrNotExist) {
		return ErrAbsent
	}
	return err
}

func (v *Vault) path(kind Kind, name string) string { return filepath.Join(v.dir, string(kind), name) }

// boundTo binds a content to its name: none can be put in the place of another.
func boundTo(kind Kind, name string) []byte { return []byte(string(kind) + "/" + name) }

func (v *Vault) load(kind Kind, name string) (s sealed, err error) {
	if !names.MatchString(name) {
		return s, ErrAbsent
	}
	doc, err := os.ReadFile(v.path(kind, name))
	if errors.Is(err, fs.ErrNotExist) {
		return s, ErrAbsent
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(doc, &s); err != nil || s.Kind != kind || s.Name != name {
		return s, fmt.Errorf("its file %s is damaged: create it again", v.path(kind, name))
	}
	return s, nil
}

// box seals and opens; the key is made with the first entry.
func (v *Vault) box(make bool) (cipher.AEAD, error) {
	const size = 32
	key, err := os.ReadFile(v.key)
	switch {
	case errors.Is(err, fs.ErrNotExist) && make:
		key = newKey(size)
		if err := disk.Write(v.key, key); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, fmt.Errorf("cannot read the key: %w", err)
	case len(key) != size:
		return nil, fmt.Errorf("the key in %s is damaged", v.key)
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func newKey(size int) []byte {
	key := make([]byte, size)
	rand.Read(key)
	return key
}
