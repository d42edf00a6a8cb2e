// Package remote fetches stacks that include, extends and -f name elsewhere: in
// git repositories and in registries. What was fetched is kept by its digest and
// never changes; orlop.lock beside the stack file says which digest a reference
// stands for. It reads no stack file, and decides nothing about what a stack may do.
package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/orlop/orlop/spec"
)

// fetchTimeout is how long one remote stack may take to come.
const fetchTimeout = 5 * time.Minute

// Config says how remote stacks are fetched.
type Config struct {
	Cache   string   // directory that they are kept in
	Environ []string // that git runs with
	Offline bool     // nothing is fetched: what is known, and is there, is all there is
	Frozen  bool     // what orlop.lock does not name is an error
	Update  bool     // orlop.lock is left aside, and made anew

	Tell  func(text string)                                                       // is told what is fetched; may be nil
	Login func(ctx context.Context, host string) (user, secret string, err error) // at a registry
	Plain func(ctx context.Context, host string) bool                             // says that a registry is reached without TLS
}

// Stacks are the remote stacks of one load.
type Stacks struct {
	Config
	most int64             // bytes that one may have
	lock *lock             // of the project; nil: it was not read yet
	used map[string]string // digests of what the load has asked for, by name; those that the reference itself gives are left out
}

// New gives the remote stacks of a load.
func New(c Config) *Stacks { return &Stacks{Config: c, most: maxBytes, used: map[string]string{}} }

// Fetch gives the files of what a reference names (stackfile.Remotes).
func (s *Stacks) Fetch(ctx context.Context, text, projectDir string) (*spec.Remote, error) {
	ref, err := parse(text)
	if err != nil {
		return nil, err
	}
	if s.lock == nil {
		if s.lock, err = readLock(projectDir); err != nil && !s.Update {
			s.lock = nil
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, fetchTimeout, fmt.Errorf("it took longer than %s", fetchTimeout))
	defer cancel()
	digest, err := s.digest(ctx, ref)
	if err != nil {
		return nil, s.explain(ctx, ref, err)
	}
	dir, err := s.files(ctx, ref, digest)
	if err != nil {
		return nil, s.explain(ctx, ref, err)
	}
	return &spec.Remote{Name: ref.name, Digest: digest, Dir: dir, Path: ref.path}, nil
}

// explain says what could not be had, and why.
func (s *Stacks) explain(ctx context.Context, ref reference, err error) error {
	if cause := context.Cause(ctx); cause != nil && ctx.Err() != nil {
		err = cause
	}
	return fmt.Errorf("cannot fetch %s: %w", ref.name, err)
}

// digest is what a reference stands for.
func (s *Stacks) digest(ctx context.Context, ref reference) (string, error) {
	if ref.digest != "" {
		return ref.digest, nil
	}
	if digest := s.used[ref.name]; digest != "" {
		return digest, nil
	}
	digest, err := s.lockedDigest(ref)
	if digest == "" && err == nil {
		s.tell("resolving " + ref.name)
		digest, err = s.source(ref).resolve(ctx)
	}
	if err != nil {
		return "", err
	}
	s.used[ref.name] = digest
	if !s.Offline {
		s.remember(ref.name, digest)
	}
	return digest, nil
}

// lockedDigest is the digest that is known without asking anybody; "" if none is.
func (s *Stacks) lockedDigest(ref reference) (string, error) {
	if digest := s.lock.digestOf(ref.name); digest != "" && !s.Update {
		return digest, nil
	}
	switch {
	case s.Offline:
		if digest := s.remembered(ref.name); digest != "" {
			return digest, nil
		}
		return "", errors.New(`it is not known yet what it stands for: run "orlop config" first`)
	case s.Frozen && !s.Update:
		return "", fmt.Errorf(`%s has no entry for it, which CI must not make: run "orlop config -q" and commit %s, or name a whole digest`, LockFile, LockFile)
	}
	return "", nil
}

// files is the directory of what was fetched, now or before.
func (s *Stacks) files(ctx context.Context, ref reference, digest string) (string, error) {
	dir := s.dirOf(ref, digest)
	if isThere(dir) {
		return dir, nil
	}
	if s.Offline {
		return "", errors.New(`it is not in the cache: run "orlop config" first`)
	}
	s.tell("fetching " + ref.name)
	err := s.keep(ctx, dir, func(t *tree) error { return s.source(ref).fetch(ctx, digest, t) })
	return dir, err
}

// source is who has what a reference names.
type source interface {
	// resolve asks what a reference stands for now.
	resolve(ctx context.Context) (digest string, err error)
	// fetch writes the files of a digest.
	fetch(ctx context.Context, digest string, to *tree) error
}

func (s *Stacks) source(ref reference) source {
	if ref.isGit {
		return &repository{ref: ref, environ: s.Environ, temporary: s.Cache, most: s.most}
	}
	return &artifact{ref: ref, login: s.Login, plain: s.Plain}
}

func (s *Stacks) tell(text string) {
	if s.Tell != nil {
		s.Tell(text)
	}
}
