package spec

import "strings"

// Kinds of build caches outside of the engine.
const (
	CacheLocal    = "local"
	CacheRegistry = "registry"
	CacheInline   = "inline" // in the image itself
)

// CutCache cuts the name of a build cache, TYPE with its attributes as in
// "type=local,dest=DIR", or a reference, which is short for a registry.
func CutCache(value string) (kind string, attrs map[string]string, ok bool) {
	attrs = map[string]string{}
	for part := range strings.SplitSeq(value, ",") {
		name, text, isPair := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case !isPair && part == value && value != "":
			kind, attrs["ref"] = CacheRegistry, value
		case !isPair:
			return "", nil, false
		case name == "type":
			kind = text
		default:
			attrs[name] = text
		}
	}
	return kind, attrs, true
}

// CachePlace is the attribute that names the place of a kind of cache, to write to
// or to read from; "" where there is none to be named.
func CachePlace(kind string, to bool) string {
	switch {
	case kind == CacheRegistry:
		return "ref"
	case kind == CacheLocal && to:
		return "dest"
	case kind == CacheLocal:
		return "src"
	}
	return ""
}
