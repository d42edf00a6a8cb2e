//go:build !cloudcache

package buildkit

import "github.com/moby/buildkit/cache/remotecache"

func cloudExporters() map[string]remotecache.ResolveCacheExporterFunc {
	return map[string]remotecache.ResolveCacheExporterFunc{}
}

func cloudImporters() map[string]remotecache.ResolveCacheImporterFunc {
	return map[string]remotecache.ResolveCacheImporterFunc{}
}
