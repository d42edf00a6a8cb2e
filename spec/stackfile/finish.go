package stackfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
)

// finish turns the merged tree into a project: profiles, environments and
// defaults applied, references checked, values decoded.
func (l *loader) finish(tree *node, name, instance string, files []string) *spec.Project {
	if tree.kind != mapNode || l.broken {
		return nil
	}
	if len(tree.fields) == 0 && len(l.diagnostics.Errors()) == 0 {
		l.report(spec.Diagnostic{Severity: spec.Error, Place: spec.Place{File: l.order[0], Line: 1, Column: 1}, Message: "the file declares nothing",
			Hint: "a stack file starts with services:"})
		return nil
	}
	v := &validator{l: l, tree: tree, name: name, disabled: map[string]*node{}}
	v.splitServices()
	for _, s := range v.disabled {
		dependencyDefaults(s)
	}
	for _, f := range v.services.fields {
		if f.value.kind == mapNode {
			v.serviceDefaults(f.value, "services."+f.key)
		}
	}
	v.findBases()
	v.choose()
	for _, f := range v.services.fields {
		if f.value.kind == mapNode && v.asked[f.key] {
			l.serviceEnvironment(f.value, "services."+f.key)
			l.serviceLabels(f.value, "services."+f.key)
		}
	}
	v.resourceNames()
	v.check()
	v.reportUnset()
	v.prune()
	p := &spec.Project{Name: name, WorkingDir: l.projectDir, Files: files, Places: spec.Places{}, Variables: l.env}
	if len(l.diagnostics.Errors()) == 0 {
		v.decode(p)
		if instance != "" {
			p.Isolate(instance, func(path, message string) {
				l.report(spec.Diagnostic{Severity: spec.Warning, Path: path, Place: p.Places.Nearest(path), Message: message})
			})
		}
		l.payloads(p, tree, v.contents())
	}
	return p
}

// splitServices takes the services out whose profiles are not active.
func (v *validator) splitServices() {
	v.services = v.tree.value("services")
	if v.services == nil || v.services.kind != mapNode {
		v.incomplete = v.services != nil
		v.services = &node{kind: mapNode}
	}
	v.services.fields = slices.Clone(v.services.fields)
	slices.SortFunc(v.services.fields, func(a, b field) int { return strings.Compare(a.key, b.key) })
	active := v.activeProfiles()
	kept := v.services.fields[:0:0]
	for _, f := range v.services.fields {
		profiles := textsOf(f.value.value("profiles"))
		if len(profiles) == 0 || active["*"] || slices.ContainsFunc(profiles, func(p string) bool { return active[p] }) {
			kept = append(kept, f)
		} else {
			v.disabled[f.key] = f.value
		}
	}
	v.services.fields = kept
}

// activeProfiles are those asked for. While none is, the one without a name
// is active, as in Compose: what has it is not left out.
func (v *validator) activeProfiles() map[string]bool {
	active := map[string]bool{}
	profiles := v.l.opts.Profiles
	if len(profiles) == 0 {
		profiles = strings.Split(v.l.env["COMPOSE_PROFILES"], ",")
	}
	for _, p := range profiles {
		active[strings.TrimSpace(p)] = true
	}
	for _, name := range v.l.opts.Services {
		for _, p := range textsOf(v.services.value(name).value("profiles")) {
			active[p] = true
		}
	}
	return active
}

// textsOf are the texts of a list node; of no node, none.
func textsOf(n *node) []string {
	if n == nil {
		return nil
	}
	var out []string
	for _, item := range n.items {
		if item.kind == scalarNode {
			out = append(out, item.text)
		}
	}
	return out
}

// profilesOf are the profiles of a service that can be asked for.
func profilesOf(service *node) []string {
	return slices.DeleteFunc(textsOf(service.value("profiles")), func(p string) bool { return p == "" })
}

// textAt is the text of a scalar below n, or "".
func textAt(n *node, key string) string {
	if v := n.value(key); v != nil && v.kind == scalarNode {
		return v.text
	}
	return ""
}

// dependencyDefaults fills in what entries of depends_on leave out.
func dependencyDefaults(s *node) {
	deps := s.value("depends_on")
	if deps == nil || deps.kind != mapNode {
		return
	}
	for i := range deps.fields {
		if f := &deps.fields[i]; f.value.kind != badNode {
			f.value = startedDependency(f.value.clone())
		}
	}
}

// conditions complains of entries of depends_on that no file gives a condition.
func (v *validator) conditions(s *node, path string) {
	deps := s.value("depends_on")
	if deps == nil || deps.kind != mapNode {
		return
	}
	for _, f := range withoutBad(deps.fields) {
		if f.value.value("condition") == nil {
			v.l.fail(&node{at: f.at, width: f.width}, path+".depends_on."+f.key, "condition is missing",
				"write condition: "+spec.ServiceStarted+", or depends_on as a list of names")
		}
	}
}

// serviceDefaults fills in what Compose implies.
func (v *validator) serviceDefaults(s *node, path string) {
	v.conditions(s, path)
	dependencyDefaults(s)
	v.buildDefaults(s)
	networks := s.value("networks")
	if s.value("network_mode") == nil && (networks == nil || networks.kind == mapNode && len(networks.fields) == 0) {
		s.set(s.with("networks", s.mapping(s.with("default", &node{}))))
	}
	for _, key := range []string{"network_mode", "ipc", "pid", "uts", "cgroup"} {
		shared, ok := strings.CutPrefix(textAt(s, key), "service:")
		switch {
		case ok && v.find(shared) != nil:
			v.impliedDependency(s, s.value(key), shared)
		case ok && key != "network_mode" && !v.incomplete: // that one is checked with the networks
			v.l.fail(s.value(key), path+"."+key, fmt.Sprintf("no service named %q", shared), spec.DidYouMean(shared, fieldNames(v.services)))
		}
	}
}

// buildDefaults fills in what Compose implies of an image.
func (v *validator) buildDefaults(s *node) {
	if policy := s.value("pull_policy"); policy != nil && policy.text == "if_not_present" {
		policy.text = "missing"
	}
	build := s.value("build")
	if build == nil || build.kind != mapNode {
		return
	}
	if build.value("context") == nil {
		build.set(build.with("context", build.scalar("!!str", v.l.projectDir)))
	}
	if build.value("dockerfile") == nil && build.value("dockerfile_inline") == nil {
		build.set(build.with("dockerfile", build.scalar("!!str", "Dockerfile")))
	}
	v.buildArgs(build)
}

// buildArgs gives arguments without a value that of the environment; those
// that have none there are dropped, as Compose does.
func (v *validator) buildArgs(build *node) {
	args := build.value("args")
	if args == nil || args.kind != mapNode {
		return
	}
	var kept []field
	for _, f := range args.fields {
		if f.value.kind == nullNode {
			value, ok := v.l.env[f.key]
			if !ok {
				continue
			}
			f.value = f.value.scalar("!!str", value)
		}
		kept = append(kept, f)
	}
	args.fields = kept
}

// impliedDependency lets a service depend on one whose namespace it shares.
func (v *validator) impliedDependency(s, mode *node, on string) {
	deps := s.value("depends_on")
	if deps == nil {
		deps = mode.mapping()
		s.set(mode.with("depends_on", deps))
	}
	if deps.kind != mapNode || deps.field(on) != nil {
		return
	}
	entry := startedDependency(mode.mapping())
	entry.set(mode.with("restart", mode.scalar("!!bool", "true")))
	deps.set(mode.with(on, entry))
}

// resourceNames gives networks, volumes, secrets and configs their full names.
func (v *validator) resourceNames() {
	for _, f := range v.services.fields {
		if networks := f.value.value("networks"); networks != nil && networks.kind == mapNode && networks.field("default") != nil {
			v.implicitNetwork()
			break
		}
	}
	for _, section := range []string{"networks", "volumes", "secrets", "configs"} {
		s := v.tree.value(section)
		if s == nil {
			continue
		}
		for i := range s.fields {
			f := &s.fields[i]
			if given := f.value.value("name"); f.value.kind != mapNode || given != nil && given.kind == scalarNode && given.text != "" {
				continue
			}
			name := v.name + "_" + f.key
			if textAt(f.value, "external") == "true" {
				name = f.key
			}
			made := f.value.scalar("!!str", name)
			if given := f.value.value("name"); given != nil {
				made.unset, made.fault = given.unset, given.fault
			}
			f.value.set(f.value.with("name", made))
		}
	}
}

func (v *validator) implicitNetwork() {
	networks := v.tree.value("networks")
	if networks == nil || networks.kind == nullNode {
		networks = &node{kind: mapNode}
		v.tree.set(field{key: "networks", value: networks})
	}
	if networks.kind == mapNode && networks.field("default") == nil {
		networks.set(field{key: "default", value: &node{kind: mapNode}})
	}
}

// reportUnset reports the variables without a value that are left in what is
// needed: errors in images and mount sources, warnings elsewhere.
func (v *validator) reportUnset() {
	l := v.l
	v.eachNeeded(func(n *node, path string) {
		if len(n.unset) == 0 {
			return
		}
		for _, u := range n.unset {
			d := spec.Diagnostic{Severity: spec.Warning, Path: path, Place: u.at, Width: len(u.expr),
				About: spec.UnsetTopic(u.name), Message: unsetMessage(u.name)}
			if critical(n, path) && !l.opts.AllowUnset && !isWholeImage(n, path) {
				d.Severity = spec.Error
				d.Message = fmt.Sprintf("variable %s is not set", u.name)
				d.Hint = fmt.Sprintf("set it, give a default as in ${%s:-value}, or allow it with --allow-unset", u.name)
			}
			l.report(d)
		}
	})
}

func unsetMessage(name string) string {
	return fmt.Sprintf("variable %s is not set and taken as empty", name)
}

// critical says whether an empty variable at a path is dangerous: it would
// mount or run something else than was meant.
func critical(n *node, path string) bool {
	parts := strings.Split(path, ".")
	if len(parts) < 3 || parts[0] != "services" {
		return false
	}
	last := parts[len(parts)-1]
	inVolumes := strings.Contains(path, ".volumes[")
	return inVolumes && (last == "source" || n.kind == badNode) || len(parts) == 3 && last == "image"
}

// walk visits a tree, parents first.
func (n *node) walk(path string, visit func(n *node, path string)) {
	visit(n, path)
	for _, f := range n.fields {
		f.value.walk(join(path, f.key), visit)
	}
	for i, item := range n.items {
		item.walk(indexed(path, i), visit)
	}
}

// prune drops what says nothing (empty entries of tmpfs and expose), and the
// networks, volumes, secrets and configs that no service uses.
func (v *validator) prune() {
	for _, f := range v.services.fields {
		if image := f.value.field("image"); image != nil && !v.asked[f.key] && len(image.value.unset) > 0 && !wholeReference().MatchString(image.value.text) {
			image.value = image.value.bad() // half a reference, of which nobody was told
		}
		for _, key := range []string{"tmpfs", "expose"} {
			if list := f.value.value(key); list != nil {
				list.items = slices.DeleteFunc(slices.Clone(list.items), func(n *node) bool { return n.kind == scalarNode && n.text == "" })
			}
		}
		if tmpfs := f.value.value("tmpfs"); tmpfs != nil {
			for _, item := range tmpfs.items {
				item.text = givenOptions(item.text)
			}
		}
	}
	for section, names := range v.used() {
		if s := v.tree.value(section); s != nil {
			s.fields = slices.DeleteFunc(slices.Clone(s.fields), func(f field) bool { return !names[f.key] })
		}
	}
}

// used are the names that services use of each section.
func (v *validator) used() map[string]map[string]bool {
	return v.usedBy(func(string) bool { return true })
}

func (v *validator) usedBy(isMeant func(service string) bool) map[string]map[string]bool {
	used := map[string]map[string]bool{"networks": {}, "volumes": {}, "secrets": {}, "configs": {}}
	for _, f := range v.services.fields {
		if isMeant(f.key) {
			v.references(f.value, func(section string, at *node, name, _ string) { used[section][name] = true })
		}
	}
	for base := range v.bases {
		if isMeant(base) {
			v.references(imagePart(v.disabled[base]), func(section string, at *node, name, _ string) { used[section][name] = true })
		}
	}
	return used
}
