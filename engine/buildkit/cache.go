package buildkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	contentlocal "github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/moby/buildkit/cache/remotecache"
	"github.com/moby/buildkit/cache/remotecache/inline"
	"github.com/moby/buildkit/cache/remotecache/registry"
	"github.com/moby/buildkit/client/ociindex"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/util/compression"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// cacheExporters are the kinds of --cache-to, cacheImporters of --cache-from.
func cacheExporters(sessions *session.Manager, hosts docker.RegistryHosts, l *localCache) map[string]remotecache.ResolveCacheExporterFunc {
	exporters := cloudExporters()
	exporters["registry"] = registry.ResolveCacheExporterFunc(sessions, hosts)
	exporters["inline"], exporters["local"] = inline.ResolveCacheExporterFunc(), l.exporter
	return exporters
}

func cacheImporters(sessions *session.Manager, contents content.Store, hosts docker.RegistryHosts, l *localCache, admit Admit) map[string]remotecache.ResolveCacheImporterFunc {
	importers := cloudImporters()
	importers["registry"], importers["local"] = admitted(registry.ResolveCacheImporterFunc(sessions, contents, hosts), admit), l.importer
	return importers
}

// admitted holds caches of registries to what images are held to: layers come from there all the same.
func admitted(importer remotecache.ResolveCacheImporterFunc, admit Admit) remotecache.ResolveCacheImporterFunc {
	return func(ctx context.Context, g session.Group, attrs map[string]string) (remotecache.Importer, ocispecs.Descriptor, error) {
		found, root, err := importer(ctx, g, attrs)
		if err == nil {
			err = admit(ctx, idsOf(g), attrs["ref"], root.Digest, nil)
		}
		if err != nil {
			return nil, ocispecs.Descriptor{}, err
		}
		return found, root, nil
	}
}

// CheckCache says whether there is a kind of cache in this engine.
func CheckCache(kind string) error {
	if _, cloud := cloudExporters()[kind]; cloud {
		return nil
	}
	switch kind {
	case "registry", "inline", "local":
		return nil
	}
	return fmt.Errorf("this engine is built without the cache %q: use registry or local, or build it with \"make build TAGS=cloudcache\"", kind)
}

// localCache keeps build caches in directories of this machine, as OCI layouts.
// BuildKit's own would pass every byte through the command's session.
// Builds that run at once share a directory, and layers.
type localCache struct {
	export sync.Mutex // held while a cache is written
	index  sync.Mutex // held while an index is read or changed
}

// localExport is an export to a directory, under a tag of its index.
type localExport struct {
	remotecache.Exporter
	cache    *localCache
	dir, tag string
}

func (l *localCache) exporter(_ context.Context, _ session.Group, attrs map[string]string) (remotecache.Exporter, error) {
	dir := attrs["dest"]
	if dir == "" {
		return nil, errors.New("a local cache needs dest=DIRECTORY")
	}
	comp, err := compression.ParseAttributes(attrs)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the cache directory: %w", err)
	}
	store, err := contentlocal.NewStore(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open the cache %s: %w", dir, err)
	}
	return &localExport{remotecache.NewExporter(store, "", true, true, comp), l, dir, cacheTag(attrs)}, nil
}

func cacheTag(attrs map[string]string) string {
	if tag := attrs["tag"]; tag != "" {
		return tag
	}
	return "latest"
}

// Name says what is done, in the build's progress.
func (*localExport) Name() string { return "exporting cache to a directory" }

// Finalize writes the cache, and puts it under its tag.
func (x *localExport) Finalize(ctx context.Context) (map[string]string, error) {
	x.cache.export.Lock()
	defer x.cache.export.Unlock()
	said, err := x.Exporter.Finalize(ctx)
	doc := said[remotecache.ExporterResponseManifestDesc]
	if err != nil || doc == "" {
		return said, err
	}
	var desc ocispecs.Descriptor
	if err := json.Unmarshal([]byte(doc), &desc); err != nil {
		return nil, err
	}
	x.cache.index.Lock()
	defer x.cache.index.Unlock()
	if err := ociindex.NewStoreIndex(x.dir).Put(desc, ociindex.Tag(x.tag)); err != nil {
		return nil, fmt.Errorf("cannot write the cache's index: %w", err)
	}
	return said, nil
}

func (l *localCache) importer(_ context.Context, _ session.Group, attrs map[string]string) (remotecache.Importer, ocispecs.Descriptor, error) {
	dir := attrs["src"]
	if dir == "" {
		return nil, ocispecs.Descriptor{}, errors.New("a local cache needs src=DIRECTORY")
	}
	l.index.Lock()
	desc, err := ociindex.NewStoreIndex(dir).Get(cacheTag(attrs))
	l.index.Unlock()
	if err != nil || desc == nil {
		return nil, ocispecs.Descriptor{}, errors.Join(fmt.Errorf("%s has no cache %q", dir, cacheTag(attrs)), err)
	}
	store, err := contentlocal.NewStore(dir)
	if err != nil {
		return nil, ocispecs.Descriptor{}, fmt.Errorf("cannot open the cache %s: %w", dir, err)
	}
	return remotecache.NewImporter(store), *desc, nil
}
