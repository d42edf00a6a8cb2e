package remote

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	distribution "github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"

	"github.com/orlop/orlop/builder/origin"
	"github.com/orlop/orlop/spec/userfile"
)

// What Compose publishes: an artifact of a type, whose layers are files with their
// names. Older registries have no type, but that of an empty configuration.
const (
	projectType     = "application/vnd.docker.compose.project"
	emptyConfigType = "application/vnd.docker.compose.config.empty.v1+json"
	stackFileType   = "application/vnd.docker.compose.file+yaml"
	envFileType     = "application/vnd.docker.compose.envfile"

	fileName    = "com.docker.compose.file"
	envFileName = "com.docker.compose.envfile"
	isExtended  = "com.docker.compose.extends" // the file is named by an extends
)

// stackFileName is the file that an artifact's stack files become, one document each.
const stackFileName = "compose.yaml"

// separator stands between them.
const separator = "\n---\n"

const maxLayers = 500

// artifact fetches from a registry.
type artifact struct {
	ref   reference
	login func(ctx context.Context, host string) (user, secret string, err error)
	plain func(ctx context.Context, host string) bool
}

// resolver asks the registry, with the caller's login.
func (a *artifact) resolver(ctx context.Context) remotes.Resolver {
	plain := func(host string) (bool, error) {
		if local, err := docker.MatchLocalhost(host); local || err != nil {
			return local, err
		}
		return a.plain != nil && a.plain(ctx, host), nil
	}
	return docker.NewResolver(docker.ResolverOptions{Hosts: func(host string) ([]docker.RegistryHost, error) {
		isPlain, err := plain(host)
		if err != nil {
			return nil, err
		}
		client := origin.Bind(nil, host, isPlain)
		login := func(host string) (string, string, error) {
			if a.login == nil {
				return "", "", nil
			}
			return a.login(ctx, host)
		}
		return docker.ConfigureDefaultRegistries(
			docker.WithPlainHTTP(plain), docker.WithClient(client),
			docker.WithAuthorizer(docker.NewDockerAuthorizer(docker.WithAuthClient(client), docker.WithAuthCreds(login))),
		)(host)
	}})
}

// silent keeps containerd from writing to the terminal what the error says, too.
func silent(ctx context.Context) context.Context {
	quiet := logrus.New()
	quiet.SetOutput(io.Discard)
	return log.WithLogger(ctx, logrus.NewEntry(quiet))
}

func (a *artifact) resolve(ctx context.Context) (string, error) {
	ctx = silent(ctx)
	_, found, err := a.resolver(ctx).Resolve(ctx, a.ref.image)
	if err != nil {
		return "", inWords(err)
	}
	if !digestForm().MatchString(found.Digest.String()) {
		return "", fmt.Errorf("the registry gives the digest %q, which is not sha256", found.Digest)
	}
	return found.Digest.String(), nil
}

// fetch writes the stack files and environment files of a manifest.
func (a *artifact) fetch(ctx context.Context, digest string, to *tree) error {
	ctx = silent(ctx)
	found, fetcher, err := a.find(ctx, digest)
	if err != nil {
		return err
	}
	manifest, err := manifestOf(ctx, fetcher, found)
	if err != nil {
		return err
	}
	if err := checkSizes(manifest.Layers, to.most); err != nil {
		return err
	}
	var stack bytes.Buffer
	for _, layer := range manifest.Layers {
		if !isFile(layer) {
			continue
		}
		content, err := blob(ctx, fetcher, layer, layer.Size)
		if err != nil {
			return err
		}
		if isStackFile(layer) {
			if stack.Len() > 0 {
				stack.WriteString(separator)
			}
			stack.Write(content)
			continue
		}
		if err := writeLayer(layer, content, to); err != nil {
			return err
		}
	}
	if stack.Len() == 0 {
		return errors.New("the artifact has no stack file: publish one with docker compose publish")
	}
	return put(stackFileName, stack.Bytes(), to)
}

func isFile(layer ocispec.Descriptor) bool {
	return layer.MediaType == stackFileType || layer.MediaType == envFileType
}

// isStackFile says that a file is a part of the stack file, not one that others name.
func isStackFile(layer ocispec.Descriptor) bool {
	return layer.MediaType == stackFileType && layer.Annotations[isExtended] == ""
}

// checkSizes refuses what would be too large in memory or on the disk, by what a manifest
// says: a file is read no further than that.
func checkSizes(layers []ocispec.Descriptor, most int64) error {
	var all, stack int64
	for _, layer := range layers {
		switch {
		case !isFile(layer):
			continue
		case layer.Size < 0:
			return fmt.Errorf("it has a file with a size of %d bytes", layer.Size)
		case layer.Size > userfile.MaxText:
			return fmt.Errorf("it has a file of %d bytes, more than the %d that one may have", layer.Size, int64(userfile.MaxText))
		}
		if all += layer.Size; isStackFile(layer) && stack > 0 {
			stack += int64(len(separator))
		}
		if isStackFile(layer) {
			stack += layer.Size
		}
	}
	switch {
	case stack > userfile.MaxText:
		return fmt.Errorf("its stack files are larger than %d MB together", userfile.MaxText>>20)
	case all > most:
		return tooLarge(most)
	}
	return nil
}

// find asks the registry for a digest of the artifact's repository.
func (a *artifact) find(ctx context.Context, digest string) (ocispec.Descriptor, remotes.Fetcher, error) {
	resolver, ref := a.resolver(ctx), repositoryOf(a.ref.image)+"@"+digest
	_, found, err := resolver.Resolve(ctx, ref)
	if errdefs.IsNotFound(err) {
		return found, nil, fmt.Errorf(`%s is not in the registry any more: see what is there now with "orlop config --update-remotes"`, digest)
	}
	if err != nil {
		return found, nil, inWords(err)
	}
	fetcher, err := resolver.Fetcher(ctx, ref)
	if err != nil {
		return found, nil, inWords(err)
	}
	return found, fetcher, nil
}

// repositoryOf is an artifact's name without its tag and digest.
func repositoryOf(image string) string {
	named, err := distribution.ParseNormalizedNamed(image)
	if err != nil {
		return image // it was parsed before
	}
	return named.Name()
}

// writeLayer writes a file that others of the artifact name.
func writeLayer(layer ocispec.Descriptor, content []byte, to *tree) error {
	name := cmp.Or(layer.Annotations[envFileName], layer.Annotations[fileName])
	if name == "" || name != path.Base(name) || strings.ContainsAny(name, `/\`) || name == "." || name == ".." {
		return fmt.Errorf("it has a file with the name %q, which leads out of its directory", name)
	}
	return put(name, content, to)
}

func put(name string, content []byte, to *tree) error {
	if err := to.grow(int64(len(content))); err != nil {
		return err
	}
	return to.file(name, bytes.NewReader(content), int64(len(content)), false)
}

// manifestOf is the manifest of a stack: what was found, or the one in an index.
func manifestOf(ctx context.Context, fetcher remotes.Fetcher, found ocispec.Descriptor) (*ocispec.Manifest, error) {
	content, err := blob(ctx, fetcher, found, docker.MaxManifestSize)
	if err != nil {
		return nil, err
	}
	var index ocispec.Index
	if err := json.Unmarshal(content, &index); err == nil && len(index.Manifests) > 0 {
		i := slices.IndexFunc(index.Manifests, func(d ocispec.Descriptor) bool { return d.ArtifactType == projectType })
		if i < 0 {
			return nil, errors.New("it is an image, not a stack that docker compose publish has published")
		}
		if content, err = blob(ctx, fetcher, index.Manifests[i], docker.MaxManifestSize); err != nil {
			return nil, err
		}
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(content, &manifest); err != nil {
		return nil, fmt.Errorf("its manifest is not valid: %w", err)
	}
	switch {
	case manifest.ArtifactType != projectType && (manifest.ArtifactType != "" || manifest.Config.MediaType != emptyConfigType):
		return nil, errors.New("it is an image, not a stack that docker compose publish has published")
	case len(manifest.Layers) > maxLayers:
		return nil, fmt.Errorf("it has more than %d files", maxLayers)
	}
	return &manifest, nil
}

// blob is content of a registry, held against its digest.
func blob(ctx context.Context, fetcher remotes.Fetcher, d ocispec.Descriptor, most int64) ([]byte, error) {
	if d.Size > most {
		return nil, fmt.Errorf("it has a file of %d bytes, more than the %d that one may have", d.Size, most)
	}
	if err := d.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("it has a file with the digest %q: %w", d.Digest, err)
	}
	d.URLs = nil // of others, who would be asked
	body, err := fetcher.Fetch(ctx, d)
	if err != nil {
		return nil, inWords(err)
	}
	defer body.Close()
	content, err := io.ReadAll(io.LimitReader(body, most+1))
	switch {
	case err != nil:
		return nil, inWords(err)
	case int64(len(content)) > most:
		return nil, fmt.Errorf("it has a file of more than %d bytes", most)
	case d.Digest.Algorithm().FromBytes(content) != d.Digest:
		return nil, fmt.Errorf("the registry sends something else than %s: it, a mirror or a proxy damages what it hands on", d.Digest)
	}
	return content, nil
}

// inWords is an error of a registry, and what to do.
func inWords(err error) error {
	status, _ := errors.AsType[remoteerrors.ErrUnexpectedStatus](err)
	switch {
	case errdefs.IsNotFound(err):
		return errors.New("it is not in its registry: check the name and the tag")
	case errdefs.IsUnauthorized(err), errors.Is(err, docker.ErrInvalidAuthorization), status.StatusCode == http.StatusUnauthorized, status.StatusCode == http.StatusForbidden,
		strings.Contains(err.Error(), "insufficient_scope"), strings.Contains(err.Error(), "authorization failed"):
		return errors.New(`the registry refused access: log in with "orlop login REGISTRY"`)
	case strings.Contains(err.Error(), "connection refused"), strings.Contains(err.Error(), "no such host"), strings.Contains(err.Error(), "timeout"):
		return fmt.Errorf("the registry can't be reached: %w", rootOf(err))
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return fmt.Errorf("the registry has no TLS: set http: true for it in the engine's settings (%w)", rootOf(err))
	}
	return fmt.Errorf("the registry does not answer as it should: %w", rootOf(err))
}

// rootOf is the innermost error, without what was done at each level.
func rootOf(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
