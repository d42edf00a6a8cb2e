package stackfile

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/fetched"
	"github.com/orlop/orlop/spec/forms"
	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/values"
)

// finish turns the merged tree into a project: profiles, environments and
// defaults applied, references checked, values decoded.
func (l *loader) finish(root *tree.Node, name, instance string, files []string) *spec.Project {
	if root.Kind != tree.MapNode || l.broken {
		return nil
	}
	if len(root.Fields) == 0 && len(l.diagnostics.Errors()) == 0 {
		l.Report(spec.Diagnostic{Severity: spec.Error, Place: spec.Place{File: l.order[0], Line: 1, Column: 1}, Message: "the file declares nothing",
			Hint: "a stack file starts with services:"})
		return nil
	}
	v := &validator{l: l, root: root, name: name, disabled: map[string]*tree.Node{}}
	v.splitServices()
	for _, s := range v.disabled {
		dependencyDefaults(s)
	}
	known := len(l.diagnostics)
	for _, f := range v.workloads() {
		if f.Value.Kind == tree.MapNode {
			v.serviceDefaults(f.Value, v.path(f.Key))
			v.initContainers(f.Value, v.path(f.Key))
		}
	}
	if l.opts.NoConsistency {
		l.diagnostics = l.diagnostics[:known]
	}
	v.findBases()
	v.choose()
	isSound := len(l.diagnostics.Errors()) == 0
	for _, f := range v.workloads() {
		if f.Value.Kind == tree.MapNode && (v.asked[f.Key] || v.jobs[f.Key] && !l.opts.Only) {
			v.initEnvironments(f.Value, v.path(f.Key))
			l.serviceEnvironment(f.Value, v.path(f.Key))
			l.serviceLabels(f.Value, v.path(f.Key))
		}
	}
	unread := len(l.diagnostics.Errors()) // of environment and label files
	v.resourceNames()
	known = len(l.diagnostics)
	if v.check(); l.opts.NoConsistency {
		l.diagnostics = l.diagnostics[:known]
	}
	if l.opts.Only && len(l.opts.Services) > 0 {
		l.diagnostics[known:].Excuse(func(name string) bool { return v.services.Value(name) != nil && !v.asked[name] })
	}
	v.reportUnset()
	v.prune()
	l.checkText(v.root, "")
	p := &spec.Project{Name: name, Underscore: l.opts.Compatibility || spec.IsTrue(l.env["COMPOSE_COMPATIBILITY"]), WorkingDir: l.projectDir, Files: files, Places: v.places(), Variables: l.env, ReadFiles: l.readFiles, Remotes: l.remotes.List}
	if len(l.diagnostics.Errors()) == 0 {
		v.decode(p)
		fetched.Protect(p, l.Report)
		p.InheritVolumes()
		l.security(p, root)
		l.seccompProfiles(p)
		if instance != "" {
			p.Isolate(instance, func(path, message string) {
				l.Report(spec.Diagnostic{Severity: spec.Warning, Path: path, Place: p.Places.Nearest(path), Message: message})
			})
		}
		l.payloads(p, root, v.contents())
		l.foresee(p)
	} else if isSound && len(l.diagnostics.Errors()) == unread { // all files that can't be read are told at once
		l.payloads(p, root, v.contents())
	}
	return p
}

// splitServices takes the services out whose profiles are not active.
func (v *validator) splitServices() {
	v.services = v.root.Value("services")
	if v.services == nil || v.services.Kind != tree.MapNode {
		v.incomplete = v.services != nil
		v.services = &tree.Node{Kind: tree.MapNode}
	}
	v.services.Fields = slices.Clone(v.services.Fields)
	slices.SortFunc(v.services.Fields, func(a, b tree.Field) int { return strings.Compare(a.Key, b.Key) })
	active := v.activeProfiles()
	kept := v.services.Fields[:0:0]
	for _, f := range v.services.Fields {
		profiles := tree.Texts(f.Value.Value("profiles"))
		if len(profiles) == 0 || active["*"] || slices.ContainsFunc(profiles, func(p string) bool { return active[p] }) {
			kept = append(kept, f)
		} else {
			v.disabled[f.Key] = f.Value
		}
	}
	v.services.Fields = kept
	v.splitJobs(active)
	v.index()
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
		for _, p := range slices.Concat(tree.Texts(v.services.Value(name).Value("profiles")), tree.Texts(v.root.Value("jobs").Value(name).Value("profiles"))) {
			active[p] = true
		}
	}
	return active
}

// profilesOf are the profiles of a service that can be asked for.
func profilesOf(service *tree.Node) []string {
	return slices.DeleteFunc(tree.Texts(service.Value("profiles")), func(p string) bool { return p == "" })
}

// dependencyDefaults fills in what entries of depends_on leave out.
func dependencyDefaults(s *tree.Node) {
	deps := s.Value("depends_on")
	if deps == nil || deps.Kind != tree.MapNode {
		return
	}
	for i := range deps.Fields {
		f := &deps.Fields[i]
		if f.Value.Kind != tree.BadNode && (f.Value.Value("condition") == nil || f.Value.Value("required") == nil) {
			f.Value = forms.StartedDependency(f.Value.WithRoom(2))
		}
	}
}

// conditions complains of entries of depends_on that no file gives a condition.
func (v *validator) conditions(s *tree.Node, path string) {
	deps := s.Value("depends_on")
	if deps == nil || deps.Kind != tree.MapNode {
		return
	}
	for _, f := range deps.Fields {
		if f.Value.Kind != tree.BadNode && f.Value.Value("condition") == nil {
			v.l.Fail(&tree.Node{At: f.At, Width: f.Width}, path+".depends_on."+f.Key, "condition is missing",
				"write condition: "+spec.ServiceStarted+", or depends_on as a list of names")
		}
	}
}

// serviceDefaults fills in what Compose implies.
func (v *validator) serviceDefaults(s *tree.Node, path string) {
	platform, _ := v.l.lookup("DOCKER_DEFAULT_PLATFORM")
	values.DefaultPlatform(v.l.Reporter, s, path, platform)
	v.conditions(s, path)
	dependencyDefaults(s)
	v.buildDefaults(s)
	values.DefaultNetwork(s)
	v.wholeNetwork(s, path)
	v.linkDefaults(s, path)
	v.volumesFrom(s, path)
	for _, key := range []string{"network_mode", "ipc", "pid", "uts", "cgroup"} {
		shared, ok := strings.CutPrefix(tree.TextAt(s, key), "service:")
		switch {
		case ok && v.find(shared) != nil:
			v.impliedDependency(s, s.Value(key), shared, true)
			v.shareable(s.Value(key), path+"."+key, key, shared)
		case ok && key != "network_mode" && !v.incomplete: // that one is checked with the networks
			v.l.Fail(s.Value(key), path+"."+key, fmt.Sprintf("no service named %q", shared), spec.DidYouMean(shared, fieldNames(v.services)))
		}
	}
}

// shareable complains of a service that shares the IPC namespace of one that keeps it
// to itself.
func (v *validator) shareable(n *tree.Node, at, key, of string) {
	mode := tree.TextAt(v.find(of), "ipc")
	if key == "ipc" && !slices.Contains([]string{spec.ShareableIPC, spec.HostNamespace}, mode) && !strings.Contains(mode, ":") {
		v.l.Fail(n, at, fmt.Sprintf("service %q keeps its IPC namespace to itself", of), "write ipc: "+spec.ShareableIPC+" there")
	}
}

// wholeNetwork takes an external network called host or none for what Docker has by
// these names: the service is on the machine's network, or on none.
func (v *validator) wholeNetwork(s *tree.Node, path string) {
	networks := s.Value("networks")
	if networks == nil || networks.Kind != tree.MapNode {
		return
	}
	for _, f := range networks.Fields {
		declared := v.root.Value("networks").Value(f.Key)
		if declared == nil || tree.TextAt(declared, "external") != "true" {
			continue
		}
		name := cmp.Or(tree.TextAt(declared, "name"), f.Key)
		if name != spec.NetworkHost && name != spec.NetworkNone {
			continue
		}
		at := &tree.Node{At: f.At, Width: f.Width}
		if len(networks.Fields) > 1 {
			v.l.Fail(at, path+".networks", fmt.Sprintf("a service on the network %s is on no other", name), "keep one of them")
			return
		}
		s.Remove("networks")
		s.Set(tree.Field{Key: "network_mode", Value: at.Scalar("!!str", name), At: f.At, Width: f.Width})
		return
	}
}

// linkDefaults lets a service depend on those that it links to.
func (v *validator) linkDefaults(s *tree.Node, path string) {
	for i, link := range s.Value("links").Entries() {
		target, _ := spec.CutLink(link.Text)
		switch {
		case link.Kind != tree.ScalarNode || target == "":
		case v.find(target) != nil:
			v.impliedDependency(s, link, target, true)
		case !v.incomplete:
			v.l.Fail(link, tree.Indexed(path+".links", i), fmt.Sprintf("no service named %q", target), spec.DidYouMean(target, fieldNames(v.services)))
		}
	}
}

// buildDefaults fills in what Compose implies of an image.
func (v *validator) buildDefaults(s *tree.Node) {
	if policy := s.Value("pull_policy"); policy != nil && policy.Text == "if_not_present" {
		policy.Text = "missing"
	}
	build := s.Value("build")
	if build == nil || build.Kind != tree.MapNode {
		return
	}
	if build.Value("context") == nil {
		build.Set(build.With("context", build.Scalar("!!str", v.l.projectDir)))
	}
	if build.Value("dockerfile") == nil && build.Value("dockerfile_inline") == nil {
		build.Set(build.With("dockerfile", build.Scalar("!!str", "Dockerfile")))
	}
	v.buildArgs(build)
}

// buildArgs gives arguments without a value that of the environment; those
// that have none there are dropped, as Compose does.
func (v *validator) buildArgs(build *tree.Node) {
	args := build.Value("args")
	if args == nil || args.Kind != tree.MapNode {
		return
	}
	var kept []tree.Field
	for _, f := range args.Fields {
		if f.Value.Kind == tree.NullNode {
			value, ok := v.l.toldAt(f.At, v.l.lookup)(f.Key)
			if !ok {
				continue
			}
			f.Value = f.Value.Scalar("!!str", value)
		}
		kept = append(kept, f)
	}
	args.Fields = kept
}

// volumesFrom lets a service depend on those whose volumes it mounts.
func (v *validator) volumesFrom(s *tree.Node, path string) {
	list := s.Value("volumes_from")
	if list == nil || list.Kind != tree.ListNode {
		return
	}
	for i, item := range list.Items {
		from, ok := spec.ParseVolumesFrom(item.Text)
		switch {
		case !ok || item.Kind != tree.ScalarNode || from.Service == "":
		case v.find(from.Service) != nil:
			v.impliedDependency(s, item, from.Service, false)
		case !v.incomplete:
			v.l.Fail(item, tree.Indexed(path+".volumes_from", i), fmt.Sprintf("no service named %q", from.Service),
				cmp.Or(spec.DidYouMean(from.Service, fieldNames(v.services)), "for a container that is no service's, write container:"+from.Service))
		}
	}
}

// impliedDependency lets a service depend on one whose namespace or volumes it shares.
func (v *validator) impliedDependency(s, mode *tree.Node, on string, restart bool) {
	deps := s.Value("depends_on")
	if deps == nil {
		deps = mode.Mapping()
		s.Set(mode.With("depends_on", deps))
	}
	if deps.Kind != tree.MapNode || deps.Field(on) != nil {
		return
	}
	entry := forms.StartedDependency(mode.Mapping())
	entry.Set(mode.With("restart", mode.Scalar("!!bool", strconv.FormatBool(restart))))
	deps.Set(mode.With(on, entry))
}

// resourceNames gives networks, volumes, secrets and configs their full names.
func (v *validator) resourceNames() {
	for _, f := range v.services.Fields {
		if networks := f.Value.Value("networks"); networks != nil && networks.Kind == tree.MapNode && networks.Field("default") != nil {
			v.implicitNetwork()
			break
		}
	}
	for _, section := range []string{"networks", "volumes", "secrets", "configs"} {
		s := v.root.Value(section)
		if s == nil {
			continue
		}
		for i := range s.Fields {
			f := &s.Fields[i]
			if given := f.Value.Value("name"); f.Value.Kind != tree.MapNode || given != nil && given.Kind == tree.ScalarNode && given.Text != "" {
				continue
			}
			name := v.name + "_" + f.Key
			if tree.TextAt(f.Value, "external") == "true" {
				name = f.Key
			}
			made := f.Value.Scalar("!!str", name)
			if given := f.Value.Value("name"); given != nil {
				made.Origin = &tree.Origin{Unset: given.Unset(), Fault: given.Fault()}
			}
			f.Value.Set(f.Value.With("name", made))
		}
	}
}

func (v *validator) implicitNetwork() {
	networks := v.root.Value("networks")
	if networks == nil || networks.Kind == tree.NullNode {
		networks = &tree.Node{Kind: tree.MapNode}
		v.root.Set(tree.Field{Key: "networks", Value: networks})
	}
	if networks.Kind == tree.MapNode && networks.Field("default") == nil {
		networks.Set(tree.Field{Key: "default", Value: &tree.Node{Kind: tree.MapNode}})
	}
}

// reportUnset reports the variables without a value that are left in what is
// needed: errors in images and mount sources, warnings elsewhere.
func (v *validator) reportUnset() {
	l := v.l
	v.eachUnfilled(func(n *tree.Node, path string) {
		if len(n.Unset()) == 0 {
			return
		}
		for _, u := range n.Unset() {
			d := spec.Diagnostic{Severity: spec.Warning, Path: path, Place: u.At, Width: len(u.Expr),
				About: spec.UnsetTopic(u.Name), Message: unsetMessage(u.Name)}
			if critical(n, path) && !l.opts.AllowUnset && !isWholeImage(n, path) {
				d.Severity = spec.Error
				d.Message = fmt.Sprintf("variable %s is not set", u.Name)
				d.Hint = fmt.Sprintf("set it, give a default as in ${%s:-value}, or allow it with --allow-unset", u.Name)
			}
			l.Report(d)
		}
	})
}

func unsetMessage(name string) string {
	return fmt.Sprintf("variable %s is not set and taken as empty", name)
}

// critical says whether an empty variable at a path is dangerous: it would
// mount or run something else than was meant.
func critical(n *tree.Node, path string) bool {
	parts := strings.Split(path, ".")
	if len(parts) < 3 || parts[0] != "services" && parts[0] != "jobs" {
		return false
	}
	last := parts[len(parts)-1]
	inVolumes := strings.Contains(path, ".volumes[")
	return inVolumes && (last == "source" || n.Kind == tree.BadNode) || len(parts) == 3 && last == "image"
}

// prune drops what says nothing (empty entries of some lists), and the
// networks, volumes, secrets and configs that no service uses.
func (v *validator) prune() {
	for _, f := range v.workloads() {
		if image := f.Value.Field("image"); image != nil && !v.asked[f.Key] && len(image.Value.Unset()) > 0 && !wholeReference().MatchString(image.Value.Text) {
			image.Value = image.Value.Bad() // half a reference, of which nobody was told
		}
		for _, key := range []string{"tmpfs", "expose", "dns", "dns_search", "dns_opt"} {
			if list := f.Value.Value(key); list != nil {
				list.Items = slices.DeleteFunc(slices.Clone(list.Items), func(n *tree.Node) bool { return n.Kind == tree.ScalarNode && n.Text == "" })
			}
		}
		if tmpfs := f.Value.Value("tmpfs"); tmpfs != nil {
			for _, item := range tmpfs.Items {
				item.Text = values.GivenOptions(item.Text)
			}
		}
	}
	for i := range v.root.Fields {
		if section := v.root.Fields[i].Key; isNamed(section) {
			s := v.root.Fields[i].Value
			s.Fields = slices.DeleteFunc(slices.Clone(s.Fields), func(f tree.Field) bool { return !v.used[section][f.Key] })
		}
	}
}
