package registries

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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
	if err := c.reread(); err != nil { // somebody was asked for the password meanwhile
		return "", err
	}
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

// Forget removes the logins at a registry, under whatever address they are kept. It is false where there was none.
func (c *Config) Forget(ctx context.Context, key string) (had bool, err error) {
	if err := c.reread(); err != nil {
		return false, err
	}
	host, _, err := HostOf(key)
	if err != nil {
		return false, err
	}
	var auths map[string]json.RawMessage
	if err := c.read("auths", &auths); err != nil {
		return false, err
	}
	isOfHost := func(key string) bool {
		of, _, err := HostOf(key)
		return err == nil && of == host && key != ""
	}
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(auths)), func(key string) bool { return !isOfHost(key) })
	isInFile := len(keys) > 0
	if !slices.Contains(keys, key) {
		keys = append(keys, key)
	}
	had = isInFile
	for _, one := range keys {
		was, err := c.erase(ctx, one, host)
		if err != nil {
			return had, err
		}
		had = had || was
	}
	if !isInFile {
		return had, nil
	}
	return had, c.change(func(auths map[string]json.RawMessage) error {
		maps.DeleteFunc(auths, func(key string, _ json.RawMessage) bool { return isOfHost(key) })
		return nil
	})
}

// erase has the helper of a registry forget what it keeps under a key, and says whether there was something.
func (c *Config) erase(ctx context.Context, key, host string) (had bool, err error) {
	helper, err := c.helper(key)
	if key != host && host != hub {
		if own, ownErr := c.helper(host); ownErr != nil || own != "" {
			helper, err = own, ownErr // an old address of a registry that has a helper of its own
		}
	}
	if err != nil || helper == "" {
		return false, err
	}
	err = ask(ctx, helper, "erase", key)
	if err == nil || isNone(err) {
		return err == nil, nil
	}
	return false, err
}

// reread takes the file as it is now: others write it as well.
func (c *Config) reread() error {
	now, err := ReadConfig(c.Path)
	if err == nil {
		c.doc = now.doc
	}
	return err
}

// change changes the logins in the file as it is now, and writes it as a whole: where it is a link, what that leads to.
// Commands that do so at once take turns.
func (c *Config) change(how func(auths map[string]json.RawMessage) error) error {
	path := c.Path
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	before, err := ownerOf(path)
	if err == nil {
		err = before.makeDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", c.Path, err)
	}
	done, err := alone(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", c.Path, err)
	}
	defer done()
	if err := c.reread(); err != nil {
		return err
	}
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
	if err := c.write(path, before); err != nil {
		return fmt.Errorf("cannot write %s: %w", c.Path, err)
	}
	return nil
}

func (c *Config) write(path string, whose owner) error {
	text, err := json.MarshalIndent(c.doc, "", "\t")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".config.json-*") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // where it was not renamed
	_, err = f.Write(append(text, '\n'))
	if err := errors.Join(err, whose.give(f.Name()), f.Sync(), f.Close()); err != nil {
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
