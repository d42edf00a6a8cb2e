package builder

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/userfile"
)

// namedFiles is up to how many files a fingerprint names each of them; above
// it only their sum is kept.
const namedFiles = 20_000

// Inputs computes the fingerprints of the builds of the services: the
// Dockerfile, the contexts as .dockerignore leaves them, arguments, target,
// labels and the base images' names; beside them, the arguments of the command. A build whose fingerprint is that of the
// image which is there need not run. Services whose context is remote have
// none: BuildKit decides.
func Inputs(ctx context.Context, p *spec.Project, services []string, opts Options) (map[string]*planner.Inputs, error) {
	sums := newSums(newReading(opts.Tell))
	out := map[string]*planner.Inputs{}
	for _, name := range services {
		s := p.Buildable(name)
		if s == nil || s.Build == nil || spec.IsRemote(s.Build.Context) {
			continue
		}
		in, err := inputsOf(ctx, p, name, opts, sums)
		if err != nil {
			return nil, err
		}
		out[name] = in
	}
	sums.save()
	return out, nil
}

func inputsOf(ctx context.Context, p *spec.Project, name string, opts Options, sums *sums) (*planner.Inputs, error) {
	b := p.Buildable(name).Build
	opts, err := opts.withEpoch(b)
	if err != nil {
		return nil, err
	}
	dockerfile, missing := dockerfileText(b)
	if missing != nil {
		return nil, fmt.Errorf("services.%s.build%s: %w", name, missing.key, missing)
	}
	in := &planner.Inputs{Files: map[string]string{}, Other: map[string]string{}, Bases: map[string]string{}}
	in.Other["dockerfile"] = digest(dockerfile)
	in.Other["target"] = b.Target
	for k, v := range b.Args {
		if v != nil {
			in.Other["args."+k] = digest([]byte(*v))
		}
	}
	for k, v := range b.Labels {
		in.Other["labels."+k] = v
	}
	for _, use := range b.Secrets {
		in.Other["secrets."+use.Source] = use.Target
	}
	stepInputs(in, p.Buildable(name))
	if err := hashContext(ctx, b.Context, dockerfilePath(b), "", in.Files, sums); err != nil {
		return nil, fmt.Errorf("services.%s.build.context: %w", name, err)
	}
	for extra, from := range b.AdditionalContexts {
		in.Other["additional_contexts."+extra] = from
		if filepath.IsAbs(from) {
			if err := hashContext(ctx, from, "", extra+":", in.Files, sums); err != nil {
				return nil, fmt.Errorf("services.%s.build.additional_contexts.%s: %w", name, extra, err)
			}
		}
	}
	takeBases(in, dockerfile, b, Options{})
	if !in.Floating {
		in.Taken = taken(dockerfile, p.Buildable(name), opts)
	}
	in.Sum = sumOf(in)
	if len(opts.Args) > 0 {
		in.Given = map[string]string{}
		for k, v := range opts.Args {
			if said := b.Args[k]; said == nil || *said != v {
				in.Given[k] = digest([]byte(v))
			}
		}
		takeBases(in, dockerfile, b, opts)
	}
	opts.Over.note(in, b)
	if len(in.Files) > namedFiles {
		in.Files = nil
	}
	return in, nil
}

// takeBases notes the images that a build starts from.
func takeBases(in *planner.Inputs, dockerfile []byte, b *spec.Build, opts Options) {
	refs, whole := bases(dockerfile, b, opts)
	images, fixed := namedContexts(b)
	in.Floating = !whole || !fixed
	clear(in.Bases)
	for _, ref := range slices.Concat(refs, images) {
		in.Bases[ref] = ""
	}
}

// sumOf is the digest over a whole fingerprint.
func sumOf(in *planner.Inputs) string {
	h := sha256.New()
	for _, part := range []map[string]string{in.Files, in.Other, in.Bases} {
		for _, k := range slices.Sorted(maps.Keys(part)) {
			io.WriteString(h, strconv.Quote(k)+" "+strconv.Quote(part[k])+"\n")
		}
		io.WriteString(h, "\n")
	}
	return hex.EncodeToString(h.Sum(nil))
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// hashContext adds each file of a context that .dockerignore leaves.
func hashContext(ctx context.Context, dir, dockerfile, prefix string, files map[string]string, sums *sums) error {
	ignore, err := ignoreRules(dir, dockerfile)
	if err != nil {
		return err
	}
	dir, err = filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", dir, err)
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, failure error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		out, skip, err := ignored(ignore, filepath.ToSlash(rel), d)
		switch {
		case err != nil:
			return err
		case skip || out && failure != nil && d != nil && d.IsDir():
			return fs.SkipDir
		case failure != nil:
			return fmt.Errorf("cannot read %s: %w (leave it out with .dockerignore, or make it readable)", path, failure)
		case out || rel == ".":
			return nil
		}
		if err := checkName(path, rel, d); err != nil {
			return err
		}
		sum, err := sums.of(ctx, path, d)
		if sum != "" {
			files[prefix+filepath.ToSlash(rel)] = sum
		}
		return err
	})
}

// checkName refuses a name, or the target of a link, that is not UTF-8: BuildKit
// can't be told of it, and fails without a word about which it was.
func checkName(path, rel string, d fs.DirEntry) error {
	const todo = "rename it, or leave it out with .dockerignore"
	if !utf8.ValidString(rel) {
		return fmt.Errorf("cannot send %q: its name is not UTF-8 text (%s)", path, todo)
	}
	if d.Type()&fs.ModeSymlink == 0 {
		return nil
	}
	if to, err := os.Readlink(path); err == nil && !utf8.ValidString(to) {
		return fmt.Errorf("cannot send %s: it is a link to %q, which is not UTF-8 text (%s)", path, to, todo)
	}
	return nil
}

// ignored says whether a file takes no part in a build, and whether all below
// it takes none either.
func ignored(rules *patternmatcher.PatternMatcher, rel string, d fs.DirEntry) (out, skip bool, err error) {
	if rules == nil || rel == "." {
		return false, false, nil
	}
	out, err = rules.MatchesOrParentMatches(rel)
	return out, out && d != nil && d.IsDir() && !rules.Exclusions(), err
}

// ignoreRules reads NAME.dockerignore beside the Dockerfile, else
// .dockerignore in the context.
func ignoreRules(dir, dockerfile string) (*patternmatcher.PatternMatcher, error) {
	var text []byte
	var err error = fs.ErrNotExist
	path := filepath.Join(dir, ".dockerignore")
	if dockerfile != "" {
		text, err = userfile.Read(dockerfile + ".dockerignore")
	}
	if errors.Is(err, fs.ErrNotExist) {
		text, err = userfile.Read(path)
	} else {
		path = dockerfile + ".dockerignore"
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, errors.Unwrap(err))
	}
	patterns, err := ignorefile.ReadAll(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	rules, err := patternmatcher.New(patterns)
	if err != nil {
		return nil, badPattern(path, text, err)
	}
	return rules, nil
}

// badPattern says which line of an ignore file is no pattern.
func badPattern(path string, text []byte, err error) error {
	n := 0
	for line := range bytes.Lines(text) {
		n++
		patterns, _ := ignorefile.ReadAll(bytes.NewReader(line))
		if _, bad := patternmatcher.New(patterns); bad != nil {
			return fmt.Errorf("%s:%d: %q is not a pattern: a [ needs its ], a \\ something after it", path, n, bytes.TrimSpace(line))
		}
	}
	return fmt.Errorf("cannot read %s: %w", path, err)
}
