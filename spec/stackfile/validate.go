package stackfile

import (
	"cmp"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

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
	tree       *node
	name       string
	services   *node // the active ones
	disabled   map[string]*node
	bases      map[string]bool // of the disabled ones those that others are built from
	asked      map[string]bool // services that are asked for, by name or by what they are for others
	incomplete bool            // services were in part not readable
}

func (v *validator) check() {
	containers := map[string]string{}
	for _, f := range v.services.fields {
		if f.value.kind == mapNode {
			v.service(f)
			v.refusedKeys(f, serviceRow().Keys, "services."+f.key)
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

func (v *validator) service(f field) {
	s, path := f.value, "services."+f.key
	at := &node{at: f.at, width: f.width}
	if s.value("image") == nil && s.value("build") == nil && s.value("provider") == nil {
		v.l.fail(at, path, "neither image nor build is given", "write image: and the image to run, or build: and a directory")
	}
	if image := s.value("image"); image != nil && image.kind == scalarNode && len(image.unset) == 0 {
		if strings.ContainsAny(image.text, " \t\n") || image.text == "" {
			v.l.fail(image, path+".image", fmt.Sprintf("%q is not the name of an image", spec.Shorten(image.text)), "write it as NAME[:TAG]")
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
}

func (v *validator) build(s *node, path string) {
	build := s.value("build")
	if build == nil {
		return
	}
	if inline := build.field("dockerfile_inline"); inline != nil && build.value("dockerfile") != nil {
		v.l.fail(&node{at: inline.at, width: inline.width}, path+".build", "dockerfile and dockerfile_inline exclude each other", "keep one of them")
	}
	contexts := build.value("additional_contexts")
	if contexts == nil {
		return
	}
	for _, c := range contexts.fields {
		name, ok := strings.CutPrefix(c.value.text, "service:")
		if !ok {
			continue
		}
		at := path + ".build.additional_contexts." + c.key
		target := v.find(name)
		switch {
		case target == nil && !v.incomplete:
			v.l.fail(c.value, at, fmt.Sprintf("no service named %q", name), spec.DidYouMean(name, fieldNames(v.services)))
		case target != nil && target.kind == mapNode && target.value("build") == nil:
			v.l.fail(c.value, at, fmt.Sprintf("service %q has no build", name), "name a service that is built")
		}
	}
}

func withoutBad(fields []field) []field {
	return slices.DeleteFunc(slices.Clone(fields), func(f field) bool { return f.value.kind == badNode })
}

// find is a service, active or not.
func (v *validator) find(name string) *node {
	if s := v.services.value(name); s != nil {
		return s
	}
	return v.disabled[name]
}

// references calls use for every network, volume, secret and config that a
// service names.
func (v *validator) references(s *node, use func(section string, at *node, name, key string)) {
	if networks := s.value("networks"); networks != nil {
		for _, f := range withoutBad(networks.fields) {
			use("networks", &node{at: f.at, width: f.width}, f.key, "networks")
		}
	}
	list := func(n *node, section, key string) {
		if n == nil {
			return
		}
		for _, item := range n.items {
			source := item.value("source")
			if source == nil || source.kind != scalarNode || section == "volumes" && textAt(item, "type") != spec.MountVolume {
				continue
			}
			use(section, source, source.text, key)
		}
	}
	list(s.value("volumes"), "volumes", "volumes")
	list(s.value("secrets"), "secrets", "secrets")
	list(s.value("configs"), "configs", "configs")
	list(s.value("build").value("secrets"), "secrets", "build.secrets")
}

// declaredAll complains of what a service names and nobody declares.
func (v *validator) declaredAll(s *node, path string) {
	v.references(s, func(section string, at *node, name, key string) { v.declared(section, at, name, path+"."+key) })
}

// declared complains if a resource is not declared at the top level.
func (v *validator) declared(section string, at *node, name, path string) {
	declared := v.tree.value(section)
	if declared.value(name) != nil || declared != nil && declared.kind == badNode {
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
	v.l.fail(at, path, fmt.Sprintf("no %s named %q", strings.TrimSuffix(section, "s"), name), hint)
}

func (v *validator) network(s *node, path string) {
	mode := s.value("network_mode")
	if mode != nil && mode.kind == scalarNode {
		v.networkMode(s, mode, path)
	}
	networks := s.value("networks")
	if networks == nil {
		return
	}
	for _, f := range networks.fields {
		address := f.value.value("ipv4_address")
		if address == nil || address.kind != scalarNode || address.text == "" {
			continue
		}
		if ip, err := netip.ParseAddr(address.text); err != nil || !ip.Is4() {
			v.l.fail(address, path+".networks."+f.key+".ipv4_address", fmt.Sprintf("%q is not an IPv4 address", address.text), "")
		} else if count := replicasOf(s); count > 1 {
			v.l.fail(address, path+".networks."+f.key+".ipv4_address", fmt.Sprintf("%d replicas cannot share one address", count),
				"remove ipv4_address, or run one replica")
		}
	}
}

func (v *validator) networkMode(s, mode *node, path string) {
	if f := s.field("networks"); f != nil && len(f.value.fields) > 0 {
		v.l.fail(mode, path+".network_mode", "network_mode and networks exclude each other",
			fmt.Sprintf("networks is on line %d; keep one of them", f.at.Line))
	}
	kind, name, ok := strings.Cut(mode.text, ":")
	switch {
	case !ok && slices.Contains([]string{"none", "host", "bridge", ""}, kind):
	case ok && kind == "service" && name != "":
		if v.find(name) == nil && !v.incomplete {
			v.l.fail(mode, path+".network_mode", fmt.Sprintf("no service named %q", name), spec.DidYouMean(name, fieldNames(v.services)))
		}
	case ok && kind == "container" && name != "":
	default:
		v.l.fail(mode, path+".network_mode", fmt.Sprintf("%q is not a network mode", spec.Shorten(mode.text)),
			"write none, host, service:NAME or container:NAME; attach to networks with networks:")
	}
}

// replicas checks scale and deploy.replicas.
func (v *validator) replicas(s *node, path string) {
	scale, replicas := s.value("scale"), s.value("deploy").value("replicas")
	for _, n := range []*node{scale, replicas} {
		if n == nil || n.kind != scalarNode {
			continue
		}
		at := path + ".scale"
		if n == replicas {
			at = path + ".deploy.replicas"
		}
		if count, err := strconv.Atoi(n.text); err != nil || count < 0 || count > maxReplicas {
			v.l.fail(n, at, fmt.Sprintf("%s replicas are not possible", n.text), fmt.Sprintf("0 to %d", maxReplicas))
			return
		}
	}
	if scale != nil && replicas != nil && scale.kind == scalarNode && replicas.kind == scalarNode && scale.text != replicas.text {
		v.l.fail(scale, path+".scale", fmt.Sprintf("scale is %s, but deploy.replicas is %s", scale.text, replicas.text), "keep one of them")
	}
}

// replicasOf is how many containers of a service are wanted, as far as it says.
func replicasOf(s *node) int {
	count, _ := strconv.Atoi(cmp.Or(textAt(s, "scale"), textAt(s.value("deploy"), "replicas")))
	return count
}

func (v *validator) containerName(f field, taken map[string]string) {
	name := f.value.value("container_name")
	if name == nil || name.kind != scalarNode {
		return
	}
	path := "services." + f.key + ".container_name"
	if count := replicasOf(f.value); count > 1 {
		v.l.fail(name, path, fmt.Sprintf("%d replicas cannot share one container name", count), "remove container_name, or run one replica")
	}
	if bad := badName(name.text); bad != "" || strings.ContainsAny(name.text[:1], "._-") {
		v.l.fail(name, path, fmt.Sprintf("%q is not a container name", spec.Shorten(name.text)),
			"use letters, digits, dots, dashes and underscores, and start with a letter or digit")
		return
	}
	if other, ok := taken[name.text]; ok {
		v.l.fail(name, path, fmt.Sprintf("service %q has the container name %q too", other, name.text), "names of containers are unique")
	}
	taken[name.text] = f.key
}

// targets complains of two mounts at one place.
func (v *validator) targets(s *node, path string) {
	taken := map[string]bool{}
	take := func(n *node, target, at string) {
		if taken[target] {
			v.l.fail(n, at, fmt.Sprintf("%s is already mounted", target), "two mounts cannot share a target")
		}
		taken[target] = true
	}
	if tmpfs := s.value("tmpfs"); tmpfs != nil {
		for i, item := range tmpfs.items {
			target, options, _ := strings.Cut(item.text, ":")
			at := indexed(path+".tmpfs", i)
			if item.kind == scalarNode && item.text != "" && !strings.HasPrefix(target, "/") {
				v.l.fail(item, at, fmt.Sprintf("the target %q is not an absolute path", spec.Shorten(target)), "a target is a path in the container, such as /run")
			} else if item.kind == scalarNode && item.text != "" {
				take(item, target, at)
				v.tmpfsOptions(item, options, at)
			}
		}
	}
	if volumes := s.value("volumes"); volumes != nil {
		for i, item := range volumes.items {
			if target := item.value("target"); target != nil && target.kind == scalarNode {
				take(target, target.text, indexed(path+".volumes", i))
			}
		}
	}
}

// subpaths checks the paths inside volumes.
func (v *validator) subpaths(s *node, at string) {
	volumes := s.value("volumes")
	if volumes == nil {
		return
	}
	for i, item := range volumes.items {
		sub, where := item.value("volume").value("subpath"), indexed(at+".volumes", i)+".volume.subpath"
		if sub == nil || sub.kind != scalarNode || sub.text == "" {
			continue
		}
		clean := path.Clean(sub.text)
		switch {
		case path.IsAbs(clean), clean == "..", strings.HasPrefix(clean, "../"):
			v.l.fail(sub, where, fmt.Sprintf("the path %q is not inside the volume", spec.Shorten(sub.text)), "write a path that begins in the volume, such as app/data")
		case item.value("source") == nil:
			v.l.fail(sub, where, "a volume without a name is empty", "name the volume: source: data")
		}
	}
}

func (v *validator) restart(s *node, path string) {
	restart := s.value("restart")
	if restart == nil || restart.kind != scalarNode {
		return
	}
	policy, count, counted := strings.Cut(restart.text, ":")
	n, err := strconv.Atoi(count)
	if policy == "on-failure" && (!counted || err == nil && n >= 0) {
		return
	}
	policies := []string{"no", "always", "on-failure", "unless-stopped"}
	if !counted && (slices.Contains(policies, policy) || policy == "") {
		return
	}
	hint := spec.DidYouMean(restart.text, policies)
	v.l.fail(restart, path+".restart", fmt.Sprintf("%q is not one of no, always, on-failure[:N], unless-stopped", spec.Shorten(restart.text)), hint)
}

func (v *validator) numbers(s *node, path string) {
	negative := func(n *node, at string, least int64) {
		if n == nil || n.kind != scalarNode {
			return
		}
		if value, err := strconv.ParseInt(n.text, 10, 64); err == nil && value < least {
			v.l.fail(n, at, fmt.Sprintf("%s is below %d", n.text, least), "")
		}
	}
	negative(s.value("pids_limit"), path+".pids_limit", -1)
	negative(s.value("healthcheck").value("retries"), path+".healthcheck.retries", 0)
	limits := s.value("ulimits")
	if limits == nil {
		return
	}
	for _, f := range limits.fields {
		at := path + ".ulimits." + f.key
		negative(f.value, at, -1)
		soft, _ := strconv.ParseInt(textAt(f.value, "soft"), 10, 64)
		hard, _ := strconv.ParseInt(textAt(f.value, "hard"), 10, 64)
		if f.value.kind == mapNode && hard != -1 && (soft > hard || soft == -1) {
			v.l.fail(&node{at: f.at, width: f.width}, at, fmt.Sprintf("the soft limit %d is above the hard limit %d", soft, hard), "")
		}
	}
}
