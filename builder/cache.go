package builder

import (
	"fmt"
	"maps"
	"path/filepath"

	controlapi "github.com/moby/buildkit/api/services/control"

	"github.com/orlop/orlop/spec"
)

// Cache is a place outside of the engine that build caches are written to or
// read from, in BuildKit's words.
type Cache struct {
	Type  string            `json:"type"`
	Attrs map[string]string `json:"attrs,omitempty"`
}

// ParseCache reads the value of --cache-to or --cache-from: "type=local,dest=DIR"
// or, short for a registry, a reference. Relative directories start from dir; what
// the kinds take from the environment of a CI runner is taken from env.
func ParseCache(value string, to bool, dir string, env map[string]string) (Cache, error) {
	kind, attrs, ok := spec.CutCache(value)
	c := Cache{Type: kind, Attrs: attrs}
	if !ok {
		return c, fmt.Errorf("%q: it must be type=TYPE,NAME=VALUE,... or the reference of an image", value)
	}
	need := spec.CachePlace(c.Type, to)
	switch c.Type {
	case spec.CacheRegistry, spec.CacheLocal, spec.CacheInline, "gha", "azblob":
	case "s3":
		need = "bucket"
	default:
		return c, fmt.Errorf("%q: the type must be one of azblob, gha, inline, local, registry, s3", value)
	}
	if need != "" && c.Attrs[need] == "" {
		return c, fmt.Errorf("%q: a cache of type %s needs %s=", value, c.Type, need)
	}
	if c.Type == "inline" && !to {
		return c, fmt.Errorf("%q: an inline cache is read from its image: write type=registry,ref=IMAGE", value)
	}
	if place := c.Attrs[need]; c.Type == "local" && !filepath.IsAbs(place) {
		c.Attrs[need] = filepath.Join(dir, place)
	}
	c.fromEnvironment(env)
	return c, nil
}

// fromEnvironment fills in what is not said and a runner's environment knows:
// the engine has an environment of its own.
func (c *Cache) fromEnvironment(env map[string]string) {
	set := func(attr, variable string) {
		if c.Attrs[attr] == "" && env[variable] != "" {
			c.Attrs[attr] = env[variable]
		}
	}
	switch c.Type {
	case "gha":
		set("token", "ACTIONS_RUNTIME_TOKEN")
		set("url", "ACTIONS_CACHE_URL")
		set("url_v2", "ACTIONS_RESULTS_URL")
		if env["ACTIONS_CACHE_SERVICE_V2"] != "" && c.Attrs["version"] == "" {
			c.Attrs["version"] = "2"
		}
	case "s3":
		set("access_key_id", "AWS_ACCESS_KEY_ID")
		set("secret_access_key", "AWS_SECRET_ACCESS_KEY")
		set("session_token", "AWS_SESSION_TOKEN")
		set("region", "AWS_REGION")
	case "azblob":
		set("account_url", "BUILDKIT_AZURE_STORAGE_ACCOUNT_URL")
		set("secret_access_key", "BUILDKIT_AZURE_STORAGE_SECRET_ACCESS_KEY")
	}
}

// forService is the part of the place that is one service's: all services of a
// command are given the same place, and must not write over each other.
func (c Cache) forService(service string) *controlapi.CacheOptionsEntry {
	attrs := maps.Clone(c.Attrs)
	own := map[string]string{"local": "tag", "gha": "scope", "s3": "name", "azblob": "name"}[c.Type]
	switch {
	case c.Type == "registry":
		attrs["ref"] = spec.TagWith(attrs["ref"], service)
	case own != "" && attrs[own] == "":
		attrs[own] = service
	case own != "":
		attrs[own] += "-" + service
	}
	return &controlapi.CacheOptionsEntry{Type: c.Type, Attrs: attrs}
}

// cacheOptions are the caches of one build: those of the command, and those that
// its section of the stack file names, which are its own.
func cacheOptions(req Request) (*controlapi.CacheOptions, error) {
	o := &controlapi.CacheOptions{}
	for _, c := range req.Options.CacheTo {
		o.Exports = append(o.Exports, c.forService(req.Service))
	}
	for _, c := range req.Options.CacheFrom {
		o.Imports = append(o.Imports, c.forService(req.Service))
	}
	for _, list := range []struct {
		values []string
		to     bool
		all    *[]*controlapi.CacheOptionsEntry
	}{{req.Build.CacheTo, true, &o.Exports}, {req.Build.CacheFrom, false, &o.Imports}} {
		for _, value := range list.values {
			c, err := ParseCache(value, list.to, req.Dir, nil)
			if err != nil {
				return nil, fmt.Errorf("a cache of services.%s.build is %w", req.Service, err)
			}
			*list.all = append(*list.all, &controlapi.CacheOptionsEntry{Type: c.Type, Attrs: c.Attrs})
		}
	}
	return o, nil
}
