// Package values checks what the values of a service mean: what no engine or kernel
// takes, and what contradicts itself within the service. Shapes are checked before,
// and what a service says of others by who knows them.
package values

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// Check reports the mistakes in the values of a service, whose place in the document
// is path.
func Check(r tree.Reporter, s *tree.Node, path string) {
	c := checker{r}
	c.everyday(s, path)
	if slices.ContainsFunc(s.Fields, func(f tree.Field) bool { return !isEveryday(f.Key) }) {
		c.others(s, path)
	}
}

// isEveryday says that a key is one that most services have. What is looked for beside
// them is not there in a service that has no others.
func isEveryday(key string) bool {
	switch key {
	case "image", "command", "entrypoint", "environment", "ports", "volumes", "networks", "labels", "depends_on", "healthcheck", "restart":
		return true
	}
	return false
}

// everyday checks what everyday keys say.
func (c checker) everyday(s *tree.Node, path string) {
	c.targets(s, path)
	c.subpaths(s, path)
	c.health(s, path)
	c.restart(s, path)
	c.numbers(s, path)
	c.endpoints(s, path)
	c.strings(s, path)
}

// others checks what other keys say, by themselves or beside the everyday ones.
func (c checker) others(s *tree.Node, path string) {
	c.replicas(s, path)
	c.volumesFrom(s, path)
	c.restartPolicy(s, path)
	c.global(s, path)
	c.updates(s, path)
	c.pullPolicy(s, path)
	c.refreshAfter(s, path)
	c.limits(s, path)
	c.kernelNames(s, path)
	c.securityOpts(s, path)
	c.namespaces(s, path)
	c.resolvers(s, path)
	c.links(s, path)
	c.devices(s, path)
	c.hooks(s, path)
	c.logging(s, path)
	c.unpublished(s, path)
	c.platforms(s, path)
	if t := s.Value("triggers"); t != nil {
		c.schedules(t.Value("schedule"), path+".triggers.schedule")
	}
	if b := s.Value("build"); b != nil {
		c.build(b, path+".build")
	}
}

// CheckBuild reports the mistakes in the values of a build section alone.
func CheckBuild(r tree.Reporter, build *tree.Node, path string) { checker{r}.build(build, path) }

// MaxReplicas is how many containers a service may have.
const MaxReplicas = 1000

// unpublished warns of ports that nothing is led to from, as Docker does.
func (c checker) unpublished(s *tree.Node, path string) {
	ports, why := s.Value("ports"), ""
	switch tree.TextAt(s, "network_mode") {
	case spec.NetworkHost:
		why = "the service uses the host's network: it listens there itself"
	case spec.NetworkNone:
		why = "the service has no network"
	}
	if why != "" && ports != nil && len(ports.Items) > 0 {
		c.Warn(ports, path+".ports", "they are not published: "+why, "remove ports, or network_mode")
	}
}

type checker struct{ tree.Reporter }

// replicas checks scale and deploy.replicas.
func (c checker) replicas(s *tree.Node, path string) {
	scale, replicas := s.Value("scale"), s.Value("deploy").Value("replicas")
	if scale == nil && replicas == nil {
		return
	}
	for _, n := range []*tree.Node{scale, replicas} {
		if n == nil || n.Kind != tree.ScalarNode {
			continue
		}
		at := path + ".scale"
		if n == replicas {
			at = path + ".deploy.replicas"
		}
		if count, err := strconv.Atoi(n.Text); err != nil || count < 0 || count > MaxReplicas {
			c.Fail(n, at, fmt.Sprintf("%s replicas are not possible", n.Text), fmt.Sprintf("0 to %d", MaxReplicas))
			return
		}
	}
	if scale != nil && replicas != nil && scale.Kind == tree.ScalarNode && replicas.Kind == tree.ScalarNode && scale.Text != replicas.Text {
		c.Fail(scale, path+".scale", fmt.Sprintf("scale is %s, but deploy.replicas is %s", scale.Text, replicas.Text), "keep one of them")
	}
}

func (c checker) restart(s *tree.Node, path string) {
	restart := s.Value("restart")
	if restart == nil || restart.Kind != tree.ScalarNode {
		return
	}
	policy, count, counted := strings.Cut(restart.Text, ":")
	n, err := strconv.Atoi(count)
	if policy == "on-failure" && (!counted || err == nil && n >= 0) {
		return
	}
	policies := []string{"no", "always", "on-failure", "unless-stopped"}
	if !counted && (slices.Contains(policies, policy) || policy == "") {
		return
	}
	hint := spec.DidYouMean(restart.Text, policies)
	c.Fail(restart, path+".restart", fmt.Sprintf("%q is not one of no, always, on-failure[:N], unless-stopped", spec.Shorten(restart.Text)), hint)
}

// pullPolicy checks when the image of a service is pulled.
func (c checker) pullPolicy(s *tree.Node, path string) {
	policy := s.Value("pull_policy")
	if policy == nil || policy.Kind != tree.ScalarNode || policy.Text == "" && len(policy.Unset()) > 0 {
		return
	}
	for _, word := range spec.PullPolicies() {
		if policy.Text == word {
			return
		}
	}
	if _, ok := spec.RefreshAfter(policy.Text); ok {
		return
	}
	c.Fail(policy, path+".pull_policy", fmt.Sprintf("%q is not one of %s, every_TIME", spec.Shorten(policy.Text), strings.Join(spec.PullPolicies(), ", ")),
		cmp.Or(spec.DidYouMean(policy.Text, spec.PullPolicies()), "write a time as in every_2d or every_12h"))
}

// refreshAfter checks the time after which an image is pulled anew.
func (c checker) refreshAfter(s *tree.Node, path string) {
	after := s.Value("pull_refresh_after")
	if after == nil || after.Kind != tree.ScalarNode || after.Text == "" {
		return
	}
	if _, ok := spec.ParseDuration(after.Text); !ok {
		c.Fail(after, path+".pull_refresh_after", fmt.Sprintf("%q is not a duration", spec.Shorten(after.Text)), "write it as 24h, 7d or 1w")
	} else if tree.TextAt(s, "pull_policy") != "refresh" {
		c.Warn(after, path+".pull_refresh_after", "pull_refresh_after means nothing without pull_policy: refresh", "write pull_policy: refresh")
	}
}

func (c checker) numbers(s *tree.Node, path string) {
	if n := s.Value("healthcheck").Value("retries"); n != nil {
		if count, ok := wholeOf(n); ok && count < 0 {
			c.Fail(n, path+".healthcheck.retries", fmt.Sprintf("%d is below 0", count), "")
		}
	}
	if limits := s.Value("ulimits"); limits != nil {
		c.ulimits(limits, path+".ulimits")
		c.limitNames(limits, path+".ulimits")
	}
}

// ulimits checks the numbers of resource limits.
func (c checker) ulimits(limits *tree.Node, path string) {
	if limits == nil {
		return
	}
	for _, f := range limits.Fields {
		at := path + "." + f.Key
		if n, ok := wholeOf(f.Value); ok && n < -1 {
			c.Fail(f.Value, at, fmt.Sprintf("%d is below -1", n), "")
		}
		soft, _ := strconv.ParseInt(tree.TextAt(f.Value, "soft"), 10, 64)
		hard, _ := strconv.ParseInt(tree.TextAt(f.Value, "hard"), 10, 64)
		if f.Value.Kind == tree.MapNode && hard != -1 && (soft > hard || soft == -1) {
			c.Fail(&tree.Node{At: f.At, Width: f.Width}, at, fmt.Sprintf("the soft limit %d is above the hard limit %d", soft, hard), "")
		}
	}
}
