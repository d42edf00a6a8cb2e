package stackfile

import (
	"cmp"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/orlop/orlop/spec/forms"
	"github.com/orlop/orlop/spec/tree"

	"github.com/orlop/orlop/spec"
)

// Limits on services.
const (
	maxServices = 2000
	maxReplicas = 1000
)

// validator checks that the parts of a merged tree fit each other.
type validator struct {
	l          *loader
	root       *tree.Node
	name       string
	services   *tree.Node // the active ones
	disabled   map[string]*tree.Node
	bases      map[string]bool // of the disabled ones those that others are built from
	asked      map[string]bool // services that are asked for, by name or by what they are for others
	incomplete bool            // services were in part not readable
}

func (v *validator) check() {
	containers := map[string]string{}
	for _, f := range v.services.Fields {
		if f.Value.Kind == tree.MapNode {
			v.service(f)
			v.refusedKeys(f, serviceRow().Keys, "services."+f.Key)
			v.containerName(f, containers)
		}
	}
	for name := range v.bases {
		v.build(v.disabled[name], "services."+name)
		v.declaredAll(imagePart(v.disabled[name]), "services."+name)
	}
	v.dependencies()
	v.jobs()
	v.resources()
}

func (v *validator) service(f tree.Field) {
	s, path := f.Value, "services."+f.Key
	at := &tree.Node{At: f.At, Width: f.Width}
	if s.Value("image") == nil && s.Value("build") == nil && s.Value("provider") == nil {
		v.l.Fail(at, path, "neither image nor build is given", "write image: and the image to run, or build: and a directory")
	}
	if image := s.Value("image"); image != nil && image.Kind == tree.ScalarNode && len(image.Unset) == 0 {
		if strings.ContainsAny(image.Text, " \t\n") || image.Text == "" {
			v.l.Fail(image, path+".image", fmt.Sprintf("%q is not the name of an image", spec.Shorten(image.Text)), "write it as NAME[:TAG]")
		}
	}
	v.build(s, path)
	v.watch(s, path)
	v.declaredAll(s, path)
	v.network(s, path)
	v.replicas(s, path)
	v.targets(s, path)
	v.subpaths(s, path)
	v.recursive(s, path)
	v.health(s, path+".healthcheck")
	v.restart(s, path)
	v.pullPolicy(s, path)
	v.numbers(s, path)
	v.limits(s, path)
	v.securityOpts(s, path)
	v.namespaces(s, path)
	v.strings(s, path)
}

func (v *validator) build(s *tree.Node, path string) {
	build := s.Value("build")
	if build == nil {
		return
	}
	if inline := build.Field("dockerfile_inline"); inline != nil && build.Value("dockerfile") != nil {
		v.l.Fail(&tree.Node{At: inline.At, Width: inline.Width}, path+".build", "dockerfile and dockerfile_inline exclude each other", "keep one of them")
	}
	contexts := build.Value("additional_contexts")
	if contexts == nil {
		return
	}
	for _, c := range contexts.Fields {
		name, ok := strings.CutPrefix(c.Value.Text, "service:")
		if !ok {
			continue
		}
		at := path + ".build.additional_contexts." + c.Key
		target := v.find(name)
		switch {
		case target == nil && !v.incomplete:
			v.l.Fail(c.Value, at, fmt.Sprintf("no service named %q", name), spec.DidYouMean(name, fieldNames(v.services)))
		case target != nil && target.Kind == tree.MapNode && target.Value("build") == nil:
			v.l.Fail(c.Value, at, fmt.Sprintf("service %q has no build", name), "name a service that is built")
		}
	}
}

func withoutBad(fields []tree.Field) []tree.Field {
	return slices.DeleteFunc(slices.Clone(fields), func(f tree.Field) bool { return f.Value.Kind == tree.BadNode })
}

// find is a service, active or not.
func (v *validator) find(name string) *tree.Node {
	if s := v.services.Value(name); s != nil {
		return s
	}
	return v.disabled[name]
}

// references calls use for every network, volume, secret and config that a
// service names.
func (v *validator) references(s *tree.Node, use func(section string, at *tree.Node, name, key string)) {
	if networks := s.Value("networks"); networks != nil {
		for _, f := range withoutBad(networks.Fields) {
			use("networks", &tree.Node{At: f.At, Width: f.Width}, f.Key, "networks")
		}
	}
	list := func(n *tree.Node, section, key string) {
		if n == nil {
			return
		}
		for _, item := range n.Items {
			source := item.Value("source")
			if source == nil || source.Kind != tree.ScalarNode || section == "volumes" && tree.TextAt(item, "type") != spec.MountVolume {
				continue
			}
			use(section, source, source.Text, key)
		}
	}
	list(s.Value("volumes"), "volumes", "volumes")
	list(s.Value("secrets"), "secrets", "secrets")
	list(s.Value("configs"), "configs", "configs")
	list(s.Value("build").Value("secrets"), "secrets", "build.secrets")
}

// declaredAll complains of what a service names and nobody declares.
func (v *validator) declaredAll(s *tree.Node, path string) {
	v.references(s, func(section string, at *tree.Node, name, key string) { v.declared(section, at, name, path+"."+key) })
}

// declared complains if a resource is not declared at the top level.
func (v *validator) declared(section string, at *tree.Node, name, path string) {
	declared := v.root.Value(section)
	if declared.Value(name) != nil || declared != nil && declared.Kind == tree.BadNode {
		return
	}
	var have []string
	if declared != nil {
		have = fieldNames(declared)
	}
	hint := spec.DidYouMean(name, have)
	if section == "volumes" && strings.Contains(name, "/") {
		hint = fmt.Sprintf("a path starts with a dot: write ./%s", name)
	}
	if hint == "" {
		hint = fmt.Sprintf("declare it under %s: at the top level", section)
	}
	v.l.Fail(at, path, fmt.Sprintf("no %s named %q", strings.TrimSuffix(section, "s"), name), hint)
}

func (v *validator) network(s *tree.Node, path string) {
	mode := s.Value("network_mode")
	if mode != nil && mode.Kind == tree.ScalarNode {
		v.networkMode(s, mode, path)
	}
	networks := s.Value("networks")
	if networks == nil {
		return
	}
	for _, f := range networks.Fields {
		address := f.Value.Value("ipv4_address")
		if address == nil || address.Kind != tree.ScalarNode || address.Text == "" {
			continue
		}
		if ip, err := netip.ParseAddr(address.Text); err != nil || !ip.Is4() {
			v.l.Fail(address, path+".networks."+f.Key+".ipv4_address", fmt.Sprintf("%q is not an IPv4 address", address.Text), "")
		} else if count := replicasOf(s); count > 1 {
			v.l.Fail(address, path+".networks."+f.Key+".ipv4_address", fmt.Sprintf("%d replicas cannot share one address", count),
				"remove ipv4_address, or run one replica")
		}
	}
}

func (v *validator) networkMode(s, mode *tree.Node, path string) {
	if f := s.Field("networks"); f != nil && len(f.Value.Fields) > 0 {
		v.l.Fail(mode, path+".network_mode", "network_mode and networks exclude each other",
			fmt.Sprintf("networks is on line %d; keep one of them", f.At.Line))
	}
	kind, name, ok := strings.Cut(mode.Text, ":")
	switch {
	case !ok && slices.Contains([]string{"none", "host", "bridge", ""}, kind):
	case ok && kind == "service" && name != "":
		if v.find(name) == nil && !v.incomplete {
			v.l.Fail(mode, path+".network_mode", fmt.Sprintf("no service named %q", name), spec.DidYouMean(name, fieldNames(v.services)))
		}
	case ok && kind == "container" && name != "":
	default:
		v.l.Fail(mode, path+".network_mode", fmt.Sprintf("%q is not a network mode", spec.Shorten(mode.Text)),
			"write none, host, service:NAME or container:NAME; attach to networks with networks:")
	}
}

// replicas checks scale and deploy.replicas.
func (v *validator) replicas(s *tree.Node, path string) {
	scale, replicas := s.Value("scale"), s.Value("deploy").Value("replicas")
	for _, n := range []*tree.Node{scale, replicas} {
		if n == nil || n.Kind != tree.ScalarNode {
			continue
		}
		at := path + ".scale"
		if n == replicas {
			at = path + ".deploy.replicas"
		}
		if count, err := strconv.Atoi(n.Text); err != nil || count < 0 || count > maxReplicas {
			v.l.Fail(n, at, fmt.Sprintf("%s replicas are not possible", n.Text), fmt.Sprintf("0 to %d", maxReplicas))
			return
		}
	}
	if scale != nil && replicas != nil && scale.Kind == tree.ScalarNode && replicas.Kind == tree.ScalarNode && scale.Text != replicas.Text {
		v.l.Fail(scale, path+".scale", fmt.Sprintf("scale is %s, but deploy.replicas is %s", scale.Text, replicas.Text), "keep one of them")
	}
}

// replicasOf is how many containers of a service are wanted, as far as it says.
func replicasOf(s *tree.Node) int {
	count, _ := strconv.Atoi(cmp.Or(tree.TextAt(s, "scale"), tree.TextAt(s.Value("deploy"), "replicas")))
	return count
}

func (v *validator) containerName(f tree.Field, taken map[string]string) {
	name := f.Value.Value("container_name")
	if name == nil || name.Kind != tree.ScalarNode {
		return
	}
	path := "services." + f.Key + ".container_name"
	if count := replicasOf(f.Value); count > 1 {
		v.l.Fail(name, path, fmt.Sprintf("%d replicas cannot share one container name", count), "remove container_name, or run one replica")
	}
	if bad := forms.BadName(name.Text); bad != "" || strings.ContainsAny(name.Text[:1], "._-") {
		v.l.Fail(name, path, fmt.Sprintf("%q is not a container name", spec.Shorten(name.Text)),
			"use letters, digits, dots, dashes and underscores, and start with a letter or digit")
		return
	}
	if other, ok := taken[name.Text]; ok {
		v.l.Fail(name, path, fmt.Sprintf("service %q has the container name %q too", other, name.Text), "names of containers are unique")
	}
	taken[name.Text] = f.Key
}

// targets complains of two mounts at one place.
func (v *validator) targets(s *tree.Node, path string) {
	taken := map[string]bool{}
	take := func(n *tree.Node, target, at string) {
		if taken[target] {
			v.l.Fail(n, at, fmt.Sprintf("%s is already mounted", target), "two mounts cannot share a target")
		}
		taken[target] = true
	}
	if tmpfs := s.Value("tmpfs"); tmpfs != nil {
		for i, item := range tmpfs.Items {
			target, options, _ := strings.Cut(item.Text, ":")
			at := tree.Indexed(path+".tmpfs", i)
			if item.Kind == tree.ScalarNode && item.Text != "" && !strings.HasPrefix(target, "/") {
				v.l.Fail(item, at, fmt.Sprintf("the target %q is not an absolute path", spec.Shorten(target)), "a target is a path in the container, such as /run")
			} else if item.Kind == tree.ScalarNode && item.Text != "" {
				take(item, target, at)
				v.tmpfsOptions(item, options, at)
			}
		}
	}
	if volumes := s.Value("volumes"); volumes != nil {
		for i, item := range volumes.Items {
			if target := item.Value("target"); target != nil && target.Kind == tree.ScalarNode {
				take(target, target.Text, tree.Indexed(path+".volumes", i))
			}
		}
	}
}

// subpaths checks the paths inside volumes.
func (v *validator) subpaths(s *tree.Node, at string) {
	volumes := s.Value("volumes")
	if volumes == nil {
		return
	}
	for i, item := range volumes.Items {
		sub, where := item.Value("volume").Value("subpath"), tree.Indexed(at+".volumes", i)+".volume.subpath"
		if sub == nil || sub.Kind != tree.ScalarNode || sub.Text == "" {
			continue
		}
		clean := path.Clean(sub.Text)
		switch {
		case path.IsAbs(clean), clean == "..", strings.HasPrefix(clean, "../"):
			v.l.Fail(sub, where, fmt.Sprintf("the path %q is not inside the volume", spec.Shorten(sub.Text)), "write a path that begins in the volume, such as app/data")
		case item.Value("source") == nil:
			v.l.Fail(sub, where, "a volume without a name is empty", "name the volume: source: data")
		}
	}
}

func (v *validator) restart(s *tree.Node, path string) {
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
	v.l.Fail(restart, path+".restart", fmt.Sprintf("%q is not one of no, always, on-failure[:N], unless-stopped", spec.Shorten(restart.Text)), hint)
}

func (v *validator) numbers(s *tree.Node, path string) {
	negative := func(n *tree.Node, at string, least int64) {
		if n == nil || n.Kind != tree.ScalarNode {
			return
		}
		if value, err := strconv.ParseInt(n.Text, 10, 64); err == nil && value < least {
			v.l.Fail(n, at, fmt.Sprintf("%s is below %d", n.Text, least), "")
		}
	}
	negative(s.Value("healthcheck").Value("retries"), path+".healthcheck.retries", 0)
	limits := s.Value("ulimits")
	if limits == nil {
		return
	}
	for _, f := range limits.Fields {
		at := path + ".ulimits." + f.Key
		negative(f.Value, at, -1)
		soft, _ := strconv.ParseInt(tree.TextAt(f.Value, "soft"), 10, 64)
		hard, _ := strconv.ParseInt(tree.TextAt(f.Value, "hard"), 10, 64)
		if f.Value.Kind == tree.MapNode && hard != -1 && (soft > hard || soft == -1) {
			v.l.Fail(&tree.Node{At: f.At, Width: f.Width}, at, fmt.Sprintf("the soft limit %d is above the hard limit %d", soft, hard), "")
		}
	}
}
