package registries

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/docker/cli/cli/config"

	"github.com/orlop/orlop/spec/userfile"
)

// Config is Docker's config.json as far as logins go. All else in it stays as it is.
type Config struct {
	Path string
	doc  map[string]json.RawMessage
}

// Account is a login as it is kept.
type Account struct {
	User, Password string
	IdentityToken  string // in place of the password
}

// tokenUser is the name under which credential helpers keep an identity token.
const tokenUser = "<token>"

// ReadConfig reads the file; one that is not there is empty.
func ReadConfig(path string) (*Config, error) {
	c := &Config{Path: path, doc: map[string]json.RawMessage{}}
	text, err := userfile.Read(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(bytes.TrimSpace(text)) == 0 {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, errors.Unwrap(err))
	}
	if err := json.Unmarshal(text, &c.doc); err != nil || c.doc == nil {
		return nil, fmt.Errorf("%s is not valid JSON (%w): correct it first, or remove it", path, err)
	}
	return c, nil
}

// Setting is a text that Docker's config.json has for a key; "" where it has none, or can't be read.
func Setting(key string) (text string) {
	if file, err := ReadConfig(filepath.Join(config.Dir(), config.ConfigFileName)); err == nil {
		_ = file.read(key, &text)
	}
	return text
}

// read reads one key; what is of another kind is an error.
func (c *Config) read(key string, into any) error {
	if c.doc[key] == nil {
		return nil
	}
	if err := json.Unmarshal(c.doc[key], into); err != nil {
		return fmt.Errorf("%s: %s is not valid: %w", c.Path, key, err)
	}
	return nil
}

// helper is the name of the credential helper that keeps the login at a registry; "" is none.
func (c *Config) helper(key string) (string, error) {
	var helpers map[string]string
	var store string
	if err := errors.Join(c.read("credHelpers", &helpers), c.read("credsStore", &store)); err != nil {
		return "", err
	}
	if own, ok := helpers[key]; ok {
		store = own
	}
	if store != "" && !helperName().MatchString(store) {
		return "", fmt.Errorf("%s names a credential helper %q, which is no name of a program", c.Path, store)
	}
	return store, nil
}

// helperName is what a program's name after "docker-credential-" may be: no path.
var helperName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`) })

// Keep keeps a login: with the helper of the registry, or in the file. It says where.
func (c *Config) Keep(ctx context.Context, key string, a Account) (helper string, err error) {
	if helper, err = c.helper(key); err != nil {
		return "", err
	}
	entry := map[string]string{}
	if helper != "" {
		what := map[string]string{"ServerURL": key, "Username": a.User, "Secret": a.Password}
		if a.IdentityToken != "" {
			what["Username"], what["Secret"] = tokenUser, a.IdentityToken
		}
		if err := ask(ctx, helper, "store", what); err != nil {
			return "", err
		}
	} else {
		password := a.Password
		if a.IdentityToken != "" {
			entry["identitytoken"], password = a.IdentityToken, ""
		}
		entry["auth"] = base64.StdEncoding.EncodeToString([]byte(a.User + ":" + password))
	}
	return helper, c.change(func(auths map[string]json.RawMessage) error {
		text, err := json.Marshal(entry)
		auths[key] = text
		return err
	})
}

// Forget removes the login at a registry. It is false where there was none in the file.
func (c *Config) Forget(ctx context.Context, key string) (had bool, err error) {
	helper, err := c.helper(key)
	if err != nil {
		return false, err
	}
	var auths map[string]json.RawMessage
	if err := c.read("auths", &auths); err != nil {
		return false, err
	}
	_, had = auths[key]
	if helper != "" {
		if err := ask(ctx, helper, "erase", key); err == nil {
			had = true
		} else if !isNone(err) {
			return had, err
		}
	}
	if auths[key] == nil {
		return had, nil
	}
	return had, c.change(func(auths map[string]json.RawMessage) error {
		delete(auths, key)
		return nil
	})
}

// change changes the logins in the file, and writes it as a whole: where it is a link, what that leads to.
func (c *Config) change(how func(auths map[string]json.RawMessage) error) error {
	auths := map[string]json.RawMessage{}
	if err := c.read("auths", &auths); err != nil {
		return err
	}
	if auths == nil {
		auths = map[string]json.RawMessage{}
	}
	if err := how(auths); err != nil {
		return err
	}
	text, err := json.Marshal(auths)
	if err != nil {
		return err
	}
	c.doc["auths"] = text
	if err := c.write(); err != nil {
		return fmt.Errorf("cannot write %s: %w", c.Path, err)
	}
	return nil
}

func (c *Config) write() error {
	text, err := json.MarshalIndent(c.doc, "", "\t")
	if err != nil {
		return err
	}
	path := c.Path
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".config.json-*") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // where it was not renamed
	_, err = f.Write(append(text, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// helperError is what a credential helper says.
type helperError struct{ program, said string }

func (e *helperError) Error() string { return e.program + ": " + e.said }

// isNone says that a helper has nothing to erase (docker-credential-helpers, credentials/error.go).
func isNone(err error) bool {
	e, ok := errors.AsType[*helperError](err)
	return ok && strings.Contains(e.said, "credentials not found")
}

// ask runs a credential helper. What it is told goes to its standard input.
func ask(ctx context.Context, helper, action string, what any) error {
	program := "docker-credential-" + helper
	in, isText := what.(string)
	if !isText {
		text, err := json.Marshal(what)
		if err != nil {
			return err
		}
		in = string(text)
	}
	run := exec.CommandContext(ctx, program, action)
	run.Stdin = strings.NewReader(in)
	out, err := run.CombinedOutput()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("the credential helper %s is not installed: install it, or take it out of Docker's config.json", program)
	case err != nil:
		return &helperError{program, strings.TrimSpace(string(out)) + " (" + err.Error() + ")"}
	}
	return nil
}
