package values

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// build checks what a build section says of its steps and of the image.
func (c checker) build(b *tree.Node, path string) {
	if b == nil || b.Kind != tree.MapNode {
		return
	}
	c.buildNetwork(b.Value("network"), path+".network")
	c.each(b.Value("entitlements"), path+".entitlements", c.entitlement)
	c.each(b.Value("cache_from"), path+".cache_from", func(n *tree.Node, at string) { c.cache(n, at, false) })
	c.each(b.Value("cache_to"), path+".cache_to", func(n *tree.Node, at string) { c.cache(n, at, true) })
	c.each(b.Value("tags"), path+".tags", c.tag)
	c.each(b.Value("platforms"), path+".platforms", c.platform)
	c.each(b.Value("no_cache_filter"), path+".no_cache_filter", c.stage)
	c.provenance(b.Value("provenance"), path+".provenance")
	c.sbom(b.Value("sbom"), path+".sbom")
	c.ulimits(b.Value("ulimits"), path+".ulimits")
	c.limitNames(b.Value("ulimits"), path+".ulimits")
}

// each checks the texts of a list.
func (c checker) each(list *tree.Node, path string, check func(n *tree.Node, at string)) {
	if list == nil {
		return
	}
	for i, n := range list.Items {
		if n.Kind == tree.ScalarNode && (n.Text != "" || len(n.Unset()) == 0) {
			check(n, tree.Indexed(path, i))
		}
	}
}

func (c checker) buildNetwork(n *tree.Node, at string) {
	if n == nil || n.Kind != tree.ScalarNode || n.Text == "" {
		return
	}
	words := []string{spec.BuildNetworkDefault, spec.BuildNetworkHost, spec.BuildNetworkNone}
	if !slices.Contains(words, n.Text) {
		c.Fail(n, at, fmt.Sprintf("the steps of a build can't be on the network %q", spec.Shorten(n.Text)),
			"write "+strings.Join(words, ", ")+": the default is a network of their own, with a way out")
	}
}

func (c checker) entitlement(n *tree.Node, at string) {
	if kind, _, _ := strings.Cut(n.Text, "="); kind == "device" {
		c.Fail(n, at, "devices of the host are not given to builds", "what needs one must run in a container")
		return
	}
	if words := spec.Entitlements(); !slices.Contains(words, n.Text) {
		c.Fail(n, at, fmt.Sprintf("%q is not one of %s", spec.Shorten(n.Text), strings.Join(words, ", ")), spec.DidYouMean(n.Text, words))
	}
}

// cloudCaches are the kinds of caches of cloud services.
var cloudCaches = []string{"gha", "s3", "azblob"}

// cache checks the name of a build cache outside of the engine.
func (c checker) cache(n *tree.Node, at string, to bool) {
	kind, attrs, ok := spec.CutCache(n.Text)
	place := spec.CachePlace(kind, to)
	switch {
	case !ok || kind == "":
		c.Fail(n, at, fmt.Sprintf("%q is not the name of a build cache", spec.Shorten(n.Text)), "write type=TYPE,NAME=VALUE,... or the reference of an image")
	case slices.Contains(cloudCaches, kind):
		c.Fail(n, at, fmt.Sprintf("caches of the type %s are not read or written for a stack file: they need the login of a cloud service", kind),
			"write type=registry or type=local, or give --cache-to and --cache-from")
	case kind == spec.CacheInline && !to:
		c.Fail(n, at, "an inline cache is read from its image", "write type=registry,ref=IMAGE, or the reference alone")
	case kind != spec.CacheInline && place == "":
		c.Fail(n, at, fmt.Sprintf("%q is not one of registry, local, inline", spec.Shorten(kind)), spec.DidYouMean(kind, []string{spec.CacheRegistry, spec.CacheLocal, spec.CacheInline}))
	case place != "" && attrs[place] == "":
		c.Fail(n, at, fmt.Sprintf("a cache of the type %s needs %s=", kind, place), "")
	case kind == spec.CacheRegistry:
		if _, err := reference.ParseDockerRef(attrs[place]); err != nil {
			c.Fail(n, at, fmt.Sprintf("%q is not the name of an image", spec.Shorten(attrs[place])), "write it as NAME[:TAG]")
		}
	}
}

// options are those of an attestation, by name; none of one that is asked for, or not,
// without any.
func (c checker) options(n *tree.Node, at, example string) map[string]string {
	if n == nil || n.Kind != tree.ScalarNode || n.Text == "" {
		return nil
	}
	if _, err := strconv.ParseBool(n.Text); err == nil {
		return nil
	}
	all := map[string]string{}
	for option := range strings.SplitSeq(n.Text, ",") {
		name, value, ok := strings.Cut(option, "=")
		if !ok || name == "" {
			c.Fail(n, at, fmt.Sprintf("%q is neither true, false nor NAME=VALUE", spec.Shorten(option)), "write "+example)
			return nil
		}
		all[name] = value
	}
	return all
}

func (c checker) provenance(n *tree.Node, at string) {
	modes := []string{"min", "max"}
	mode, given := c.options(n, at, "mode=max")["mode"]
	if given && !slices.Contains(modes, mode) {
		c.Fail(n, at, fmt.Sprintf("%q is not one of the modes min, max", spec.Shorten(mode)), spec.DidYouMean(mode, modes))
	}
}

func (c checker) sbom(n *tree.Node, at string) {
	generator, given := c.options(n, at, "generator=IMAGE")["generator"]
	if !given {
		return
	}
	if _, err := reference.ParseDockerRef(generator); err != nil {
		c.Fail(n, at, fmt.Sprintf("%q is not the name of an image", spec.Shorten(generator)), "write generator=NAME[:TAG]")
	}
}

// tag checks a further name of an image.
func (c checker) tag(n *tree.Node, at string) {
	named, err := reference.ParseDockerRef(n.Text)
	if err != nil {
		c.Fail(n, at, fmt.Sprintf("%q is not the name of an image", spec.Shorten(n.Text)), "write it as NAME[:TAG]")
	} else if _, fixed := named.(reference.Digested); fixed {
		c.Fail(n, at, fmt.Sprintf("%q has a digest, which only the build will give", spec.Shorten(n.Text)), "write it as NAME[:TAG]")
	}
}

// stage checks the name of a stage: BuildKit is given a list of them with commas.
func (c checker) stage(n *tree.Node, at string) {
	if n.Text == "" || strings.ContainsAny(n.Text, ", \t\n") {
		c.Fail(n, at, fmt.Sprintf("%q is not the name of a stage", spec.Shorten(n.Text)), "write each stage as an entry of its own")
	}
}

// stepLimits are the resource limits that a step of a build can have.
var stepLimits = []string{"core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack"}

func (c checker) limitNames(limits *tree.Node, path string) {
	if limits == nil {
		return
	}
	for _, f := range limits.Fields {
		if !slices.Contains(stepLimits, f.Key) {
			c.Fail(&tree.Node{At: f.At, Width: f.Width}, path+"."+f.Key, fmt.Sprintf("no resource limit is called %q", spec.Shorten(f.Key)), spec.DidYouMean(f.Key, stepLimits))
		}
	}
}
