// Package keyorder has the order in which Compose 5.6 prints the keys of a stack file: that of its program's structures. It knows nothing of
// what the keys mean.
package keyorder

import (
	"cmp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Kind is what of a stack file a mapping is.
type Kind string

// The kinds whose keys Compose prints in another order than that in which this program has them.
const (
	Project     Kind = "Project"
	Service     Kind = "Service" // jobs and init containers, too
	Build       Kind = "Build"
	Deploy      Kind = "Deploy"
	HealthCheck Kind = "HealthCheck"
	Placement   Kind = "Placement"
	Network     Kind = "Network"
	Bind        Kind = "BindOptions"
)

var table = map[Kind][]string{
	Project: strings.Fields(`name services jobs networks volumes secrets configs models`),
	Service: strings.Fields(`profiles triggers deploy develop restart scale attach container_name provider extends external_links links
		pre_start post_start pre_stop
		annotations blkio_config cap_add cap_drop cgroup_parent cgroup cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime
		cpus cpuset cpu_shares command configs credential_spec device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint
		environment env_file extra_hosts group_add gpus hostname image init ipc isolation labels label_file logging mem_limit mem_reservation
		memswap_limit mem_swappiness mac_address models network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform privileged
		pull_policy pull_refresh_after read_only runtime secrets security_opt shm_size stop_grace_period stop_signal storage_opt sysctls tmpfs
		ulimits use_api_socket user userns_mode uts volume_driver volumes volumes_from working_dir
		per_replica
		build depends_on expose healthcheck ports stdin_open tty`),
	Build: strings.Fields(`context dockerfile dockerfile_inline entitlements args provenance sbom ssh labels cache_from cache_to no_cache
		no_cache_filter additional_contexts pull extra_hosts isolation network target secrets shm_size tags ulimits platforms privileged`),
	Deploy:      strings.Fields(`mode replicas labels update_config rollback_config resources restart_policy placement endpoint_mode`),
	HealthCheck: strings.Fields(`test timeout interval retries start_period start_interval disable`),
	Placement:   strings.Fields(`constraints preferences max_replicas_per_node`),
	Network:     strings.Fields(`name driver driver_opts ipam external internal attachable labels enable_ipv4 enable_ipv6`),
	Bind:        strings.Fields(`selinux propagation create_host_path recursive`),
}

// Sort brings the keys of a mapping into the order of its kind. Keys that it does not have come last, as they stand.
func Sort(kind Kind, mapping *yaml.Node) {
	order := table[kind]
	if order == nil {
		return
	}
	type entry struct {
		place      int
		key, value *yaml.Node
	}
	entries := make([]entry, 0, len(mapping.Content)/2)
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		place := slices.Index(order, mapping.Content[i].Value)
		if place < 0 {
			place = len(order)
		}
		entries = append(entries, entry{place, mapping.Content[i], mapping.Content[i+1]})
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.place, b.place) })
	for i, e := range entries {
		mapping.Content[2*i], mapping.Content[2*i+1] = e.key, e.value
	}
}
