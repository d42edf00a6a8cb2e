package remote

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
	"sync"
	"unicode"

	distribution "github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
)

// reference is what include, extends or -f names, taken apart.
type reference struct {
	name   string // as it is shown and locked: without a login and without a path; never one for two digests
	path   string // in what is fetched
	digest string // that the reference itself gives; "" if it gives none
	isGit  bool
	url    string // of the repository, with its login
	ref    string // branch, tag or full name in the repository; "" is its default
	image  string // the artifact, as registries know it
}

const ociScheme = "oci://"

var (
	commitForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`) })
	pinnedForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`@(?:[0-9a-f]{40}|[0-9a-f]{64})$`) }) // no branch is named as one with a commit
	digestForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^sha256:[0-9a-f]{64}$`) })
)

// parse takes a reference apart: those of git in the forms that BuildKit takes.
func parse(text string) (reference, error) {
	if name, ok := strings.CutPrefix(text, ociScheme); ok {
		return parseArtifact(name)
	}
	scheme, _, hasScheme := strings.Cut(text, "://")
	if hasScheme && (strings.EqualFold(scheme, "file") || strings.EqualFold(scheme, "ext")) {
		return reference{}, fmt.Errorf("%s:// is not fetched: name a directory by its path", scheme)
	}
	git, _, err := dfgitutil.ParseGitRef(text)
	if err != nil || git == nil {
		return reference{}, fmt.Errorf("%s is neither a git repository nor an artifact of a registry: write https://HOST/PATH.git#REF:DIRECTORY, git@HOST:PATH.git#REF:DIRECTORY or oci://REGISTRY/NAME:TAG", withoutLogin(text))
	}
	return parseRepository(git)
}

func parseRepository(git *dfgitutil.GitRef) (reference, error) {
	r := reference{isGit: true, url: git.Remote, ref: git.Ref, digest: git.Checksum, path: strings.TrimPrefix(path.Clean("/"+git.SubDir), "/")}
	if git.IndistinguishableFromLocal {
		r.url = "https://" + r.url
	}
	r.name = withoutLogin(r.url)
	switch given := commitForm().MatchString(r.digest); {
	case r.ref != "" && given && r.ref != r.digest: // which is another than the branch is, or was
		r.name += "#" + r.ref + "@" + r.digest
	case r.ref != "":
		r.name += "#" + r.ref
	case given:
		r.name += "#" + r.digest
	}
	switch {
	case git.Submodules != nil && *git.Submodules:
		return reference{}, fmt.Errorf("cannot fetch %s: submodules of a remote stack are not fetched: take submodules away", r.name)
	case strings.HasPrefix(r.url, "-") || strings.ContainsFunc(r.url, isUnfit):
		return reference{}, fmt.Errorf("cannot fetch %q: that is not the address of a repository", r.name)
	case !isRefName(r.ref):
		return reference{}, fmt.Errorf("cannot fetch %q: %q is not the name of a branch or tag, nor a commit", r.name, r.ref)
	case r.digest != "" && !commitForm().MatchString(r.digest):
		return reference{}, fmt.Errorf("cannot fetch %s: %q is not a whole commit: write its 40 digits", r.name, r.digest)
	case r.digest == "" && commitForm().MatchString(r.ref):
		r.digest = r.ref
	}
	return r, nil
}

func parseArtifact(name string) (reference, error) {
	named, err := distribution.ParseNormalizedNamed(name)
	if err != nil {
		return reference{}, fmt.Errorf("%s%s is not an artifact of a registry (%w): write oci://REGISTRY/NAME:TAG", ociScheme, name, err)
	}
	named = distribution.TagNameOnly(named)
	r := reference{name: ociScheme + named.String(), image: named.String()}
	if pinned, ok := named.(distribution.Digested); ok {
		r.digest = pinned.Digest().String()
		if !digestForm().MatchString(r.digest) {
			return reference{}, fmt.Errorf("cannot fetch %s: its digest is not sha256", r.name)
		}
		r.image = distribution.TrimNamed(named).Name() + "@" + r.digest
	}
	return r, nil
}

// withoutLogin is an address without a login, which is shown and locked: by HTTP the
// name is often a token.
func withoutLogin(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return address
	}
	if u, err := url.Parse(address); err == nil && u.User != nil && !strings.EqualFold(u.Scheme, "ssh") {
		u.User = nil
		return u.String()
	} else if err == nil && u.User != nil {
		u.User = url.User(u.User.Username())
		return u.String()
	} else if err != nil {
		host, path, _ := strings.Cut(rest, "/")
		return scheme + "://" + host[strings.LastIndexByte(host, '@')+1:] + "/" + path
	}
	return address
}

// isRefName says that a name can be one of git's references (git-check-ref-format),
// no flag of git's, and no name and commit.
func isRefName(ref string) bool {
	return !pinnedForm().MatchString(ref) && !strings.HasPrefix(ref, "-") && !strings.Contains(ref, "..") && !strings.Contains(ref, "@{") &&
		!strings.ContainsAny(ref, "~^:?*[\\") && !strings.ContainsFunc(ref, isUnfit)
}

func isUnfit(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }
