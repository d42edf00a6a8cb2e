package stackfile

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/forms"
	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/values"
)

// maxServices is how many services a project may have.
const maxServices = 2000

// validator checks that the parts of a merged tree fit each other.
type validator struct {
	l          *loader
	root       *tree.Node
	name       string
	services   *tree.Node // the active ones
	byName     map[string]*tree.Node
	disabled   map[string]*tree.Node
	jobs       map[string]bool // of the services, and of what is none, those that are jobs
	idle       []tree.Field    // jobs of profiles that are not active
	bases      map[string]bool // of the disabled ones those that others are built from
	asked      map[string]bool // services that are asked for, by name or by what they are for others
	used       names
	needed     names // of the services that are asked for
	incomplete bool  // services were in part not readable
}

func (v *validator) check() {
	containers := map[string]string{}
	v.used, v.needed = names{}, names{}
	for _, f := range v.workloads() {
		if f.Value.Kind == tree.MapNode {
			v.service(f, v.path(f.Key))
			v.refusedKeys(f, serviceRow().Keys, v.path(f.Key))
			v.containerName(f, containers)
		}
	}
	for name := range v.bases {
		v.build(v.disabled[name], "services."+name)
		values.CheckBuild(v.l.Reporter, v.disabled[name].Value("build"), "services."+name+".build")
		v.declaredAll(imagePart(v.disabled[name]), "services."+name)
	}
	v.dependencies()
	v.models()
	v.checkJobs()
	v.resources()
}

func (v *validator) service(f tree.Field, path string) {
	s := f.Value
	at := &tree.Node{At: f.At, Width: f.Width}
	if s.Value("image") == nil && s.Value("build") == nil && s.Value("provider") == nil {
		v.l.Fail(at, path, "neither image nor build is given", "write image: and the image to run, or build: and a directory")
	}
	if p := s.Field("provider"); p != nil && p.Value.Kind == tree.MapNode && tree.TextAt(p.Value, "type") == "" {
		v.l.Fail(&tree.Node{At: p.At, Width: p.Width}, path+".provider", "type is missing", "write type: and the program that provides the service")
	}
	if image := s.Value("image"); image != nil && image.Kind == tree.ScalarNode && len(image.Unset()) == 0 {
		if strings.ContainsAny(image.Text, " \t\n") || image.Text == "" {
			v.l.Fail(image, path+".image", fmt.Sprintf("%q is not the name of an image", spec.Shorten(image.Text)), "write it as NAME[:TAG]")
		}
	}
	v.build(s, path)
	v.watch(s, path)
	isMeant := v.asked[f.Key]
	v.references(s, func(section string, at tree.Field, key string) {
		v.declared(section, at, path, key)
		v.use(section, at.Key, isMeant)
	})
	v.network(s, path)
	values.Check(v.l.Reporter, s, path)
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
	if s := v.active(name); s != nil {
		return s
	}
	return v.disabled[name]
}

// active is an active service, or nil. There may be many, so they are looked up.
func (v *validator) active(name string) *tree.Node {
	if v.byName == nil {
		return v.services.Value(name)
	}
	return v.byName[name]
}

// index notes the active services by name, once it is known which they are.
func (v *validator) index() {
	v.byName = make(map[string]*tree.Node, len(v.services.Fields))
	for _, f := range v.services.Fields {
		v.byName[f.Key] = f.Value
	}
}

// references calls use for every network, volume, secret and config that a
// service names. at is where it does, by that name.
func (v *validator) references(s *tree.Node, use func(section string, at tree.Field, key string)) {
	for _, section := range []string{"networks", "models"} {
		if named := s.Value(section); named != nil {
			for _, f := range named.Fields {
				if f.Value.Kind != tree.BadNode {
					use(section, f, section)
				}
			}
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
			use(section, source.With(source.Text, source), key)
		}
	}
	list(s.Value("volumes"), "volumes", "volumes")
	list(s.Value("secrets"), "secrets", "secrets")
	list(s.Value("configs"), "configs", "configs")
	list(s.Value("build").Value("secrets"), "secrets", "build.secrets")
}

// declaredAll complains of what a service names and nobody declares.
func (v *validator) declaredAll(s *tree.Node, path string) {
	v.references(s, func(section string, at tree.Field, key string) { v.declared(section, at, path, key) })
}

// declared complains if a resource is not declared at the top level.
func (v *validator) declared(section string, at tree.Field, service, key string) {
	declared, name := v.root.Value(section), at.Key
	if section == "networks" && name == "default" { // which is there as soon as a service is on it
		return
	}
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
	v.l.Fail(&tree.Node{At: at.At, Width: at.Width}, service+"."+key, fmt.Sprintf("no %s named %q", strings.TrimSuffix(section, "s"), name), hint)
}

func (v *validator) network(s *tree.Node, path string) {
	mode := s.Value("network_mode")
	if mode != nil && mode.Kind == tree.ScalarNode {
		v.networkMode(s, mode, path)
	}
	networks := s.Value("networks")
	if mode == nil {
		v.hardwareOutside(s, networks, path)
	}
	if networks == nil {
		return
	}
	v.sharedNetworks(s, networks, path)
	v.portsOutside(s, networks, path)
	for _, f := range networks.Fields {
		if len(f.Value.Fields) == 0 {
			continue
		}
		for _, key := range []string{"ipv4_address", "ipv6_address"} {
			v.fixedAddress(s, f, key, path+".networks."+f.Key+"."+key)
		}
		v.linkLocal6(f, path+".networks."+f.Key)
	}
}

// sharedNetworks warns of links to services that are on none of the service's
// networks: their names lead nowhere.
func (v *validator) sharedNetworks(s, networks *tree.Node, path string) {
	for i, link := range s.Value("links").Entries() {
		target, _ := spec.CutLink(link.Text)
		other := v.active(target)
		if other == nil || slices.ContainsFunc(networks.Fields, func(f tree.Field) bool { return other.Value("networks").Value(f.Key) != nil }) {
			continue
		}
		v.l.Warn(link, tree.Indexed(path+".links", i), fmt.Sprintf("%s is on none of its networks: the name leads nowhere", target), "give both a network")
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

// replicasOf is how many containers of a service are wanted, as far as it says.
func replicasOf(s *tree.Node) int {
	count, _ := strconv.Atoi(cmp.Or(tree.TextAt(s, "scale"), tree.TextAt(s.Value("deploy"), "replicas")))
	return count
}

func (v *validator) containerName(f tree.Field, taken map[string]string) {
	name := f.Value.Value("container_name")
	if name == nil || name.Kind != tree.ScalarNode || !v.asked[f.Key] {
		return // of another it matters once that is asked for
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
