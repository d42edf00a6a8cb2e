package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
)

// complain refuses or warns of what a service asks for and Kubernetes has no equal of.
func (w *workload) complain() {
	w.complainOf(w.path, w.service)
	w.complainOfRestarts()
	if d := w.service.Deploy; d != nil && d.RollbackConfig != nil {
		w.warn(w.path+".deploy.rollback_config", "a rollback goes as the update did, on Kubernetes", "")
	}
	if d := w.service.Deploy; d != nil && d.Resources != nil && d.Resources.Limits != nil && d.Resources.Limits.Pids > 0 {
		w.warn(w.path+".deploy.resources.limits.pids", "how many processes a pod may have is a node's setting", "")
	}
}

// complainOf is that of what a service or one of its init containers is to run with.
func (w *workload) complainOf(path string, s *spec.Service) {
	at := path + "."
	refuse := func(is bool, key, message, hint string) {
		if is {
			w.refuse(at+key, message, hint)
		}
	}
	warn := func(is bool, key, message, hint string) {
		if is {
			w.warn(at+key, message, hint)
		}
	}
	const ofNode = "it is a matter of the node on Kubernetes, and left out"
	refuse(len(s.Ulimits) > 0, "ulimits", "limits of processes can't be set for a pod", "set them in the image's start, with ulimit, or on the nodes")
	refuse(len(s.Devices) > 0, "devices", "devices of a machine can't be given to a pod", "ask a device plugin for one: deploy.resources.reservations.devices")
	refuse(len(s.DeviceRules) > 0, "device_cgroup_rules", "they can't be set for a pod", "")
	refuse(len(s.ExternalLinks) > 0, "external_links", "containers of other stacks are not there on Kubernetes", "reach the other's Service by its name: NAME.NAMESPACE")
	refuse(strings.HasPrefix(s.PID, "service:") || strings.HasPrefix(s.PID, "container:"), "pid", "a service can't share another's processes on Kubernetes, where each has pods of its own", "")
	refuse(strings.HasPrefix(s.IPC, "service:") || strings.HasPrefix(s.IPC, "container:") || s.IPC == "shareable", "ipc", "a service can't share another's memory on Kubernetes, where each has pods of its own", "")
	refuse(s.UTS == spec.HostNamespace, "uts", "a pod has a host name of its own", "network_mode: host gives it the node's")
	refuse(len(s.Models) > 0, "models", "models run on this machine alone", "give it the endpoint of one by environment:")
	for _, needed := range s.Needs {
		w.refuse(at+"depends_on."+needed, fmt.Sprintf("%s is provided by a program of this machine", needed), "give it the variables by environment:")
	}
	for _, from := range s.VolumesFrom {
		refuse(strings.HasPrefix(from, "container:"), "volumes_from", "containers of other stacks are not there on Kubernetes", "")
	}
	warn(s.UsernsMode != "", "userns_mode", ofNode, "")
	warn(s.BlkioConfig != nil, "blkio_config", ofNode, "")
	warn(s.CPUSet != "", "cpuset", ofNode, "")
	warn(s.CPUShares > 0, "cpu_shares", "shares come from the request on Kubernetes: left out", "write cpus:")
	warn(s.CPURTPeriod > 0 || s.CPURTRuntime > 0, "cpu_rt_runtime", ofNode, "")
	warn(s.PidsLimit > 0, "pids_limit", ofNode, "")
	warn(s.MemSwapLimit != 0, "memswap_limit", ofNode, "")
	warn(s.MemSwappiness != nil, "mem_swappiness", ofNode, "")
	warn(s.OOMKillDisable, "oom_kill_disable", ofNode, "")
	warn(s.OOMScoreAdj != 0, "oom_score_adj", ofNode, "")
	warn(s.Cgroup == spec.HostNamespace, "cgroup", ofNode, "")
	warn(s.CgroupParent != "", "cgroup_parent", ofNode, "")
	warn(s.MacAddress != "", "mac_address", ofNode, "")
	warn(s.StopSignal != "", "stop_signal", "a pod is ended by the signal that its image says, or SIGTERM", "write STOPSIGNAL in the Dockerfile")
	warn(s.Umask != nil, "umask", "it can't be set for a pod", "set it in the image's start")
	warn(s.Logging != nil && (s.Logging.Name() != spec.LogJSONFile || len(s.Logging.Options) > 0), "logging", "what pods print goes where the cluster sends it", "")
	for _, opt := range s.SecurityOpt {
		name, _ := spec.CutSecurityOpt(opt)
		warn(name == spec.OptLabel || name == spec.OptWritableCgroups, "security_opt", name+" is left out on Kubernetes", "")
	}
	for _, key := range slices.Sorted(maps.Keys(s.Environment)) {
		warn(s.Environment[key] == nil, "environment."+key, "it has no value here, and none on the cluster", "")
	}
}

// complainOfJob refuses or warns of what a job with a schedule asks for and a CronJob has no equal of.
func (w *workload) complainOfJob() {
	s := w.service
	if len(s.DependsOn) > 0 {
		w.refuse(w.path+".depends_on", "a CronJob waits for no other job", "its command can run what it needs first")
	}
	for _, of := range []struct {
		key  string
		said bool
	}{{"ports", len(s.Ports) > 0}, {"expose", len(s.Expose) > 0}} {
		if of.said {
			w.warn(w.path+"."+of.key, "no name leads to the pods of a CronJob: left out", "")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.Networks)) {
		if n := s.Networks[key]; n != nil && len(n.Aliases) > 0 {
			w.warn(w.path+".networks."+key+".aliases", "no name leads to the pods of a CronJob: left out", "")
		}
	}
	if s.HealthCheck != nil && !s.HealthCheck.Disable {
		w.warn(w.path+".healthcheck", "the pods of a CronJob are not checked: left out", "")
	}
}

// complainOfRestarts tells where pods are restarted though the file says otherwise.
func (w *workload) complainOfRestarts() {
	if strings.HasPrefix(w.path, "jobs.") {
		return
	}
	if w.kind() == Job {
		if d := w.service.Deploy; d != nil && d.RestartPolicy != nil && (d.RestartPolicy.Delay != nil || d.RestartPolicy.Window != nil) {
			w.warn(w.path+".deploy.restart_policy", "a job tries again after a pause that grows: delay and window are left out", "")
		}
		return
	}
	key, said := ".restart", w.service.Restart
	if d := w.service.Deploy; d != nil && d.RestartPolicy != nil {
		key, said = ".deploy.restart_policy", "given"
	}
	if said != "" && w.service.RestartTerms().Condition != spec.RestartAny {
		w.warn(w.path+key, "pods of a service are always restarted on Kubernetes", "one that is to end is a job: x-orlop: {kind: job}")
		return
	}
	if d := w.service.Deploy; d != nil && d.RestartPolicy != nil {
		for _, of := range []struct {
			key  string
			said bool
		}{{"delay", d.RestartPolicy.Delay != nil}, {"max_attempts", d.RestartPolicy.MaxAttempts != nil}, {"window", d.RestartPolicy.Window != nil}} {
			if of.said {
				w.warn(w.path+key+"."+of.key, "pods are restarted without end on Kubernetes, after a pause that grows: left out", "")
			}
		}
	}
}
