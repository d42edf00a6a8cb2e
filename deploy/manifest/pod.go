package manifest

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/orlop/orlop/spec"
)

// pod is the spec of the workload's pods.
func (w *workload) pod() map[string]any {
	w.mounts()
	main := w.container(w.names[w.name], w.path, w.service)
	w.probes(main)
	w.hooks(main)
	if len(w.containerMounts) > 0 {
		main["volumeMounts"] = w.containerMounts
	}
	pod := map[string]any{"automountServiceAccountToken": false, "enableServiceLinks": false}
	inits := w.gate()
	inits = append(inits, w.preStart()...)
	if len(inits) > 0 {
		pod["initContainers"] = inits
	}
	pod["containers"] = []any{main}
	w.podSecurity(pod)
	w.podNetwork(pod)
	w.placement(pod)
	grace := int64(10) // Compose Specification, stop_grace_period
	if w.service.StopGrace != nil {
		grace = seconds(*w.service.StopGrace)
	}
	pod["terminationGracePeriodSeconds"] = grace
	switch {
	case w.own.ServiceAccount != "":
		pod["serviceAccountName"], pod["automountServiceAccountToken"] = w.own.ServiceAccount, true
	case len(inits) > len(w.service.PreStart): // the gate's account, whose token only the gate has
		pod["serviceAccountName"] = w.gateAccount()
	}
	if runtime := w.service.OtherRuntime(); runtime != "" {
		pod["runtimeClassName"] = runtime
	}
	if len(w.podVolumes) > 0 {
		pod["volumes"] = w.podVolumes
	}
	return pod
}

// seconds is a time span in whole seconds, at least one.
func seconds(d spec.Duration) int64 {
	return max(int64(math.Ceil(time.Duration(d).Seconds())), 1)
}

// image is what a container runs: by digest, where that is known.
func (w *workload) image(at, name string) string {
	if ref := w.opts.Images[at]; ref != "" {
		return ref
	}
	if own, _, isInit := strings.Cut(at, ".pre_start["); isInit && name == w.project.ImageName(w.name) && w.opts.Images[own] != "" {
		return w.opts.Images[own]
	}
	return name
}

// container is one container of the pod, without its mounts.
func (w *workload) container(name, at string, s *spec.Service) map[string]any {
	image := w.image(at, cmp.Or(s.Image, w.project.ImageName(w.name)))
	c := map[string]any{"name": name, "image": image, "imagePullPolicy": pullPolicy(s, image)}
	if s.Entrypoint != nil {
		c["command"] = literals(s.Entrypoint)
		if len(s.Entrypoint) == 0 {
			w.refuse(at+".entrypoint", "an image's entrypoint can't be taken away on Kubernetes", "write the program and its arguments as entrypoint:")
		}
	}
	switch {
	case len(s.Command) > 0:
		c["args"] = literals(s.Command)
	case s.Command != nil && s.Entrypoint == nil: // with an entrypoint of its own, the image's command is not used either
		w.refuse(at+".command", "an image's command can't be taken away on Kubernetes", "write the program as entrypoint:, with which the image's command is not used")
	}
	if s.WorkingDir != "" {
		c["workingDir"] = s.WorkingDir
	}
	var env []any
	for _, key := range slices.Sorted(maps.Keys(s.Environment)) {
		if v := s.Environment[key]; v != nil {
			env = append(env, map[string]any{"name": key, "value": literal(*v)})
		}
	}
	if len(env) > 0 {
		c["env"] = env
	}
	if s.Tty {
		c["tty"] = true
	}
	if s.StdinOpen {
		c["stdin"] = true
	}
	if r := w.resources(at, s); len(r) > 0 {
		c["resources"] = r
	}
	if sec := w.containerSecurity(at, s); len(sec) > 0 {
		c["securityContext"] = sec
	}
	var ports []any
	seen := map[string]bool{}
	for _, p := range servicePorts(s) {
		if p.Protocol == "" {
			p.Protocol = spec.ProtocolTCP
		}
		if key := fmt.Sprint(p.Target, p.Protocol); !seen[key] {
			seen[key] = true
			ports = append(ports, map[string]any{"containerPort": int64(p.Target), "protocol": strings.ToUpper(p.Protocol)})
		}
	}
	if len(ports) > 0 {
		c["ports"] = ports
	}
	return c
}

func pullPolicy(s *spec.Service, image string) string {
	switch {
	case strings.Contains(image, "@"):
		return "IfNotPresent"
	case s.PullPolicy == "always":
		return "Always"
	case s.PullPolicy == "never":
		return "Never"
	}
	return "IfNotPresent"
}

// resources are limits and requests.
func (w *workload) resources(at string, s *spec.Service) map[string]any {
	limits, requests := map[string]any{}, map[string]any{}
	if cpu := cmp.Or(s.CPUs, quota(s)); cpu > 0 {
		limits["cpu"] = cores(cpu)
	}
	if s.MemLimit > 0 {
		limits["memory"] = memory(s.MemLimit)
	}
	if s.MemReservation > 0 {
		requests["memory"] = memory(s.MemReservation)
	}
	if s.Deploy != nil && s.Deploy.Resources != nil {
		if l := s.Deploy.Resources.Limits; l != nil {
			if l.CPUs > 0 {
				limits["cpu"] = cores(l.CPUs)
			}
			if l.Memory > 0 {
				limits["memory"] = memory(l.Memory)
			}
		}
		if r := s.Deploy.Resources.Reservations; r != nil && r.Memory > 0 {
			requests["memory"] = memory(r.Memory)
		}
		if r := s.Deploy.Resources.Reservations; r != nil && r.CPUs > 0 {
			requests["cpu"] = cores(r.CPUs)
		}
	}
	for key, list := range s.DeviceRequests() {
		of := at
		if strings.HasPrefix(key, "deploy.") { // which a container of pre_start has of its service
			of = w.path
		}
		w.devices(of+"."+key, list, limits)
	}
	out := map[string]any{}
	if len(limits) > 0 {
		out["limits"] = limits
		if requests["memory"] == nil && limits["memory"] != nil {
			// Without a word a request is as high as the limit, and few pods would fit on a node.
			requests["memory"] = "0"
		}
		if requests["cpu"] == nil && limits["cpu"] != nil {
			requests["cpu"] = "0"
		}
	}
	if len(requests) > 0 {
		out["requests"] = requests
	}
	return out
}

// quota is cpu_quota as a number of processors.
func quota(s *spec.Service) float64 {
	if s.CPUQuota <= 0 {
		return 0
	}
	const period = 100_000 // microseconds, the kernel's own
	return float64(s.CPUQuota) / float64(cmp.Or(s.CPUPeriod, period))
}

// devices asks the plugins of nodes for devices.
func (w *workload) devices(at string, list []spec.DeviceRequest, limits map[string]any) {
	for _, d := range list {
		vendor := spec.DeviceVendors()[d.Driver]
		switch {
		case vendor == "" || len(d.IDs) > 0:
			w.refuse(at, "devices are asked for by their number on Kubernetes, of nvidia or amd", "write driver: and count:")
		case d.Count < 0:
			w.refuse(at, "no pod can have all devices of a node", "write count:")
		default:
			limits[vendor+"/gpu"] = strconv.FormatInt(max(d.Count, 1), 10)
		}
	}
}

// probes are the health check: until it has been healthy once, by a startup probe; then whether it
// gets requests, by a readiness probe; and whether it is restarted, by a liveness probe.
func (w *workload) probes(c map[string]any) {
	check := w.check(w.name)
	if strings.HasPrefix(w.path, "jobs.") {
		check = w.service.HealthCheck
	}
	if !isChecked(check) || w.kind() == Job || strings.HasPrefix(w.path, "jobs.") {
		return
	}
	var command []any
	switch words := check.Test[1:]; check.Test[0] {
	case "CMD-SHELL":
		command = []any{"/bin/sh", "-c", literal(strings.Join(words, " "))}
	default:
		command = literals(words)
	}
	const thirty, three, five = 30, 3, 5 // Compose Specification, healthcheck: seconds, times, seconds
	interval, timeout, retries := int64(thirty), int64(thirty), int64(three)
	if check.Interval != nil && *check.Interval > 0 {
		interval = seconds(*check.Interval)
	}
	if check.Timeout != nil && *check.Timeout > 0 {
		timeout = seconds(*check.Timeout)
	}
	if check.Retries != nil && *check.Retries > 0 {
		retries = int64(*check.Retries)
	}
	probe := func(period, failures int64) map[string]any {
		return map[string]any{"exec": map[string]any{"command": command}, "periodSeconds": period, "timeoutSeconds": timeout, "failureThreshold": failures}
	}
	start := int64(five)
	if check.StartInterval != nil && *check.StartInterval > 0 {
		start = seconds(*check.StartInterval)
	}
	start = min(start, interval)
	period := int64(0)
	if check.StartPeriod != nil {
		period = seconds(*check.StartPeriod)
	}
	// It may fail during the start period, and retries times after it. A container that is late is ended then, which one machine does not do:
	// who says nothing of the start has minutes for it.
	const patience = 300 // seconds
	c["startupProbe"] = probe(start, (max(period+retries*interval, patience)+start-1)/start)
	c["readinessProbe"] = probe(interval, retries)
	if w.own.Liveness {
		// Later than it gets no requests: what only a dependency lacks may be over by then.
		c["livenessProbe"] = probe(interval, retries*three)
	}
}

// hooks are post_start and pre_stop.
func (w *workload) hooks(c map[string]any) {
	lifecycle := map[string]any{}
	for _, of := range []struct {
		key, name string
		list      []spec.Hook
	}{{"post_start", "postStart", w.service.PostStart}, {"pre_stop", "preStop", w.service.PreStop}} {
		if len(of.list) == 0 {
			continue
		}
		at := w.path + "." + of.key
		if len(of.list) > 1 {
			w.refuse(at, "a pod has one such hook", "put the commands into one script")
		}
		h := of.list[0]
		if h.User != "" || h.Privileged {
			w.refuse(at, "a hook runs as the container's user on Kubernetes", "")
		}
		command := anyList(h.Command)
		if vars := h.Variables(); len(vars) > 0 {
			command = append(append([]any{"env"}, anyList(vars)...), command...)
		}
		if h.WorkingDir != "" {
			command = append([]any{"/bin/sh", "-c", `cd "$0" && exec "$@"`, h.WorkingDir}, command...)
		}
		lifecycle[of.name] = map[string]any{"exec": map[string]any{"command": command}}
	}
	if len(lifecycle) > 0 {
		c["lifecycle"] = lifecycle
	}
}

// containerSecurity is what a container may do.
func (w *workload) containerSecurity(at string, s *spec.Service) map[string]any {
	sec := map[string]any{}
	user, group, _ := strings.Cut(s.User, ":")
	switch {
	case s.User != "" && user == "":
		w.refuse(at+".user", "a group without a user can't be said on Kubernetes", "write USER:GROUP, in numbers")
	case s.User != "":
		n, err := strconv.ParseInt(user, 10, 64)
		if err != nil {
			w.refuse(at+".user", fmt.Sprintf("%q is a name, and Kubernetes knows users by their numbers", user), "write the number: id -u "+user+" in the image says it")
		} else {
			sec["runAsUser"] = n
		}
		if group != "" {
			if n, err := strconv.ParseInt(group, 10, 64); err != nil {
				w.refuse(at+".user", fmt.Sprintf("%q is a name, and Kubernetes knows groups by their numbers", group), "write the number")
			} else {
				sec["runAsGroup"] = n
			}
		}
	}
	caps := map[string]any{}
	if len(s.CapAdd) > 0 {
		caps["add"] = anyList(capabilities(s.CapAdd))
	}
	if drop := dropped(s); len(drop) > 0 {
		caps["drop"] = anyList(drop)
	}
	confined := s.Confinement()
	readOnly, noNew := s.ReadOnly, confined.NoNewPrivileges
	if s.Security == spec.SecurityHardened {
		readOnly, noNew = true, true
		if s == w.service {
			for _, dir := range []string{"/tmp", "/run", "/var/tmp"} {
				if !isMounted(w.containerMounts, dir) {
					w.add("tmpfs", map[string]any{"emptyDir": map[string]any{"medium": "Memory"}}, dir, false, "")
				}
			}
		}
	}
	if len(caps) > 0 {
		sec["capabilities"] = caps
	}
	if s.Privileged {
		sec["privileged"] = true
	}
	if readOnly {
		sec["readOnlyRootFilesystem"] = true
	}
	if noNew && !s.Privileged {
		sec["allowPrivilegeEscalation"] = false
	}
	switch confined.Seccomp {
	case "":
		if !s.Privileged {
			sec["seccompProfile"] = map[string]any{"type": "RuntimeDefault"}
		}
	case spec.Unconfined:
		sec["seccompProfile"] = map[string]any{"type": "Unconfined"}
	default:
		w.refuse(at+".security_opt", "a seccomp profile has to be a file on each node", "seccomp=unconfined and the runtime's own are what a pod can ask for")
	}
	switch confined.AppArmor {
	case "":
	case spec.Unconfined:
		sec["appArmorProfile"] = map[string]any{"type": "Unconfined"}
	default:
		sec["appArmorProfile"] = map[string]any{"type": "Localhost", "localhostProfile": confined.AppArmor}
	}
	if confined.SystemPaths && !s.Privileged { // which has them anyway
		w.refuse(at+".security_opt", "systempaths=unconfined is for pods that have users of their own", "privileged: true shows the paths, too")
	}
	return sec
}

// dropped are the capabilities that a container has not of those that it had without a word: of a
// hardened one also those that only Docker gives.
func dropped(s *spec.Service) []string {
	drop, add := capabilities(s.CapDrop), capabilities(s.CapAdd)
	if s.Security != spec.SecurityHardened || s.Privileged || slices.Contains(drop, "ALL") || slices.Contains(add, "ALL") {
		return drop
	}
	for _, name := range []string{"AUDIT_WRITE", "MKNOD", "NET_RAW"} {
		if !slices.Contains(drop, name) && !slices.Contains(add, name) {
			drop = append(drop, name)
		}
	}
	return drop
}

func capabilities(list []string) []string {
	out := make([]string, len(list))
	for i, c := range list {
		out[i] = strings.TrimPrefix(strings.ToUpper(c), "CAP_")
	}
	return out
}

// podSecurity is what all containers of the pod share.
func (w *workload) podSecurity(pod map[string]any) {
	sec := map[string]any{}
	var groups []any
	for i, g := range w.service.GroupAdd {
		n, err := strconv.ParseInt(g, 10, 64)
		if err != nil {
			w.refuse(fmt.Sprintf("%s.group_add[%d]", w.path, i), fmt.Sprintf("%q is a name, and Kubernetes knows groups by their numbers", g), "write the number")
			continue
		}
		groups = append(groups, n)
	}
	if len(groups) > 0 {
		sec["supplementalGroups"] = groups
	}
	var sysctls []any
	for _, name := range slices.Sorted(maps.Keys(w.service.Sysctls)) {
		if !slices.Contains(safeSysctls(), name) {
			w.warn(w.path+".sysctls."+name, "nodes reject pods with it, unless their kubelets allow it", "--allowed-unsafe-sysctls is that setting of a kubelet")
		}
		sysctls = append(sysctls, map[string]any{"name": name, "value": w.service.Sysctls[name]})
	}
	if len(sysctls) > 0 {
		sec["sysctls"] = sysctls
	}
	if group, ok := w.fsGroup(); ok {
		sec["fsGroup"] = group
	}
	if len(sec) > 0 {
		pod["securityContext"] = sec
	}
	if w.service.PID == spec.HostNamespace {
		pod["hostPID"] = true
	}
	if w.service.IPC == spec.HostNamespace {
		pod["hostIPC"] = true
	}
	if w.service.Init != nil && *w.service.Init && w.service.PID == "" {
		pod["shareProcessNamespace"] = true // the pause process takes in what is left of others
	}
}

// safeSysctls are those that each node allows (Kubernetes, "Using sysctls in a cluster").
func safeSysctls() []string {
	return []string{
		"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range",
		"net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
	}
}

// placement is where the pod may run.
func (w *workload) placement(pod map[string]any) {
	nodes := maps.Clone(w.own.NodeSelector)
	if nodes == nil {
		nodes = map[string]string{}
	}
	if w.service.Platform != "" {
		parts := strings.Split(w.service.Platform, "/")
		nodes["kubernetes.io/os"] = parts[0]
		if len(parts) > 1 {
			nodes["kubernetes.io/arch"] = parts[1]
		}
	}
	if d := w.service.Deploy; d != nil && d.Placement != nil {
		w.constraints(pod, nodes, d.Placement)
	}
	if len(nodes) > 0 {
		pod["nodeSelector"] = anyMap(nodes)
	}
}

// hostLabel is the label of nodes that has their names.
const hostLabel = "kubernetes.io/hostname"

// constraints are those of deploy.placement, whose nodes and labels are called otherwise on Kubernetes.
func (w *workload) constraints(pod map[string]any, nodes map[string]string, p *spec.Placement) {
	at := w.path + ".deploy.placement"
	label := func(name string) string {
		if own, ok := strings.CutPrefix(name, "node.labels."); ok {
			return own
		}
		return map[string]string{"node.hostname": hostLabel, "node.platform.os": "kubernetes.io/os", "node.platform.arch": "kubernetes.io/arch"}[name]
	}
	var without []any
	for i, c := range p.Constraints {
		name, value, isEqual := strings.Cut(c, "==")
		if !isEqual {
			name, value, _ = strings.Cut(c, "!=")
		}
		key := label(strings.TrimSpace(name))
		switch value = strings.TrimSpace(value); {
		case key == "":
			w.refuse(fmt.Sprintf("%s.constraints[%d]", at, i), fmt.Sprintf("%s is none of a node's on Kubernetes", strings.TrimSpace(name)), "node.labels.NAME, node.hostname and node.platform are")
		case isEqual:
			nodes[key] = value
		default:
			without = append(without, map[string]any{"key": key, "operator": "NotIn", "values": []any{value}})
		}
	}
	affinity := map[string]any{}
	if len(without) > 0 {
		affinity["nodeAffinity"] = map[string]any{"requiredDuringSchedulingIgnoredDuringExecution": map[string]any{"nodeSelectorTerms": []any{map[string]any{"matchExpressions": without}}}}
	}
	switch {
	case p.MaxReplicas == 1:
		affinity["podAntiAffinity"] = map[string]any{"requiredDuringSchedulingIgnoredDuringExecution": []any{
			map[string]any{"labelSelector": map[string]any{"matchLabels": w.selector(w.name)}, "topologyKey": hostLabel},
		}}
	case p.MaxReplicas > 1:
		w.warn(at+".max_replicas_per_node", "Kubernetes can keep more than one pod from a node, and no other number", "")
	}
	if len(affinity) > 0 {
		pod["affinity"] = affinity
	}
	var spreads []any
	for i, s := range p.Preferences {
		key := label(s.Spread)
		if key == "" {
			w.refuse(fmt.Sprintf("%s.preferences[%d]", at, i), fmt.Sprintf("%s is none of a node's on Kubernetes", s.Spread), "node.labels.NAME is")
			continue
		}
		spreads = append(spreads, map[string]any{
			"maxSkew": int64(1), "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": map[string]any{"matchLabels": w.selector(w.name)},
		})
	}
	if len(spreads) > 0 {
		pod["topologySpreadConstraints"] = spreads
	}
}
