package builder

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"

	controlapi "github.com/moby/buildkit/api/services/control"

	"github.com/orlop/orlop/spec"
)

// Cache is a place outside of the engine that build caches are written to or
// read from, in BuildKit's words.
type Cache struct {
	Type  string            `json:"type"`
	Attrs map[string]string `json:"attrs,omitempty"`
}

// placeOf is the attribute that names the place of a kind of cache to write to
// and to read from; "" where none needs to be named.
func placeOf(kind string) (to, from string, known bool) {
	switch kind {
	case "registry":
		return "ref", "ref", true
	case "local":
		return "dest", "src", true
	case "s3":
		return "bucket", "bucket", true
	case "inline", "gha", "azblob":
		return "", "", true
	}
	return "", "", false
}

// ParseCache reads the value of --cache-to or --cache-from: "type=local,dest=DIR"
// or, short for a registry, a reference. Relative directories start from dir; what
// the kinds take from the environment of a CI runner is taken from env.
func ParseCache(value string, to bool, dir string, env map[string]string) (Cache, error) {
	c := Cache{Attrs: map[string]string{}}
	for part := range strings.SplitSeq(value, ",") {
		name, text, ok := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case !ok && part == value && value != "":
			c.Type, c.Attrs["ref"] = "registry", value
		case !ok:
			return c, fmt.Errorf("%q: it must be type=TYPE,NAME=VALUE,... or the reference of an image", value)
		case name == "type":
			c.Type = text
		default:
			c.Attrs[name] = text
		}
	}
	dest, need, known := placeOf(c.Type)
	if !known {
		return c, fmt.Errorf("%q: the type must be one of azblob, gha, inline, local, registry, s3", value)
	}
	if to {
		need = dest
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

// cacheOptions are the caches of one build.
func cacheOptions(req Request) *controlapi.CacheOptions {
	o := &controlapi.CacheOptions{}
	for _, c := range req.Options.CacheTo {
		o.Exports = append(o.Exports, c.forService(req.Service))
	}
	for _, c := range req.Options.CacheFrom {
		o.Imports = append(o.Imports, c.forService(req.Service))
	}
	return o
}
