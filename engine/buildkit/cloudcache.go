//go:build cloudcache

package buildkit

import (
	"github.com/moby/buildkit/cache/remotecache"
	"github.com/moby/buildkit/cache/remotecache/azblob"
	"github.com/moby/buildkit/cache/remotecache/gha"
	"github.com/moby/buildkit/cache/remotecache/s3"
)

// The caches of cloud services are a quarter of the engine (docs/adr/caches-of-cloud-services.md).

func cloudExporters() map[string]remotecache.ResolveCacheExporterFunc {
	return map[string]remotecache.ResolveCacheExporterFunc{
		"gha": gha.ResolveCacheExporterFunc(nil, nil), "s3": s3.ResolveCacheExporterFunc(), "azblob": azblob.ResolveCacheExporterFunc(),
	}
}

func cloudImporters() map[string]remotecache.ResolveCacheImporterFunc {
	return map[string]remotecache.ResolveCacheImporterFunc{
		"gha": gha.ResolveCacheImporterFunc(nil, nil), "s3": s3.ResolveCacheImporterFunc(), "azblob": azblob.ResolveCacheImporterFunc(),
	}
}
