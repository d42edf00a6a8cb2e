package spec

import (
	"slices"
	"strings"
	"sync"
)

// level says how far Orlop carries a key out.
type level uint8

const (
	carried  level = iota // whole
	ignored               // a key of the specification that is not carried out yet: a warning
	obsolete              // a key that the specification dropped: a warning, never an error
	resolved              // used while loading and gone from the project
	refused               // not carried out yet, and the outcome would be wrong without it: an error where it is used
)

// key is one row of the table of keys: it drives validation, canonical forms,
// merging, suggestions and docs/compose-support.md.
type key struct {
	name   string
	shape  shape
	level  level
	keys   []key    // of an object, a named map of objects or a list of objects
	words  []string // the only values that are allowed, if any
	note   string   // for the documentation; of an ignored or refused key also the hint
	former string   // the extension ("x-...") that it was before, which is still read
	kept   bool     // of an ignored key: its value is looked at by what checks the project
}

// shape is the form of a key's value: what is accepted, its canonical form,
// and how two of them are merged.
type shape uint8

const (
	anyValue     shape = iota
	text               // text
	numberText         // text or a number, kept as text
	truth              // true or false
	whole              // a whole number
	real               // a number
	span               // a duration
	size               // a number of bytes
	fileMode           // permission bits, octal
	texts              // a list of texts
	someTexts          // a text or a list of texts
	pairs              // a mapping or a list of NAME=VALUE; no value is null
	labels             // the same; no value is ""
	object             // a mapping with known keys
	named              // a mapping of names to objects
	objects            // a list of objects
	commandLine        // a text, split into words, or a list
	probe              // a text (a shell line) or a list that starts with NONE, CMD or CMD-SHELL
	portList           // ports, short or long
	exposeList         // ports without a host side
	mountList          // volumes, short or long
	fileMounts         // names of secrets or configs, or objects
	pathList           // a path or a list of paths, made absolute
	deviceList         // a list of devices to reserve, or all
	scheduleList       // a list of cron lines or objects
	creationMask       // permission bits, as YAML writes a whole number
	anyGiven           // any value, but not nothing
	networkSet         // names of networks, or a mapping to objects
	dependSet          // names of services, or a mapping to objects
	buildForm          // a path or an object
	envFiles           // a path, or a list of paths or objects
	hostList           // NAME=ADDRESS list, or a mapping
	limitSet           // a mapping of names to a number or {soft, hard}
	external           // true, false, or the old {name: ...}
	contextSet         // a mapping or list of NAME=CONTEXT
	dirPath            // a path, made absolute
	filePath           // a path, made absolute
	extendsForm        // a service's name, or {file, service}
	includeList        // a list of paths or objects
	watchList          // a list of objects, all of which count
)

// mergeRule is how a value of a later file meets that of an earlier one.
type mergeRule uint8

const (
	mergeReplace mergeRule = iota // the later one stands
	mergeMap                      // key by key
	mergeAppend                   // the later entries follow; equal ones are kept once
	mergeUnique                   // entries with the same identity are replaced in place
)

func (s shape) mergeRule() mergeRule {
	switch s {
	case pairs, labels, object, named, networkSet, dependSet, buildForm, limitSet, contextSet:
		return mergeMap
	case texts, someTexts, envFiles, pathList, hostList, exposeList, includeList, watchList:
		return mergeAppend
	case portList, mountList, fileMounts, objects:
		return mergeUnique
	}
	return mergeReplace
}

// find is the row of a key.
func find(keys []key, name string) *key {
	for i := range keys {
		if keys[i].name == name {
			return &keys[i]
		}
	}
	return nil
}

func names(keys []key) []string {
	var out []string
	for i := range keys {
		out = append(out, keys[i].name)
	}
	return out
}

// schema is the table of keys, whole.
var schema = sync.OnceValue(func() []key {
	return []key{
		{name: "version", level: obsolete, note: "accepted and without meaning"},
		{name: "name", shape: text},
		{name: "include", shape: includeList, level: resolved, keys: includeKeys(), note: "local files"},
		{name: "services", shape: named, keys: serviceKeys()},
		{name: "networks", shape: named, keys: networkKeys()},
		{name: "volumes", shape: named, keys: volumeKeys()},
		{name: "secrets", shape: named, keys: secretKeys()},
		{name: "configs", shape: named, keys: secretKeys()},
		{name: "models", level: ignored, shape: named, keys: []key{{name: "name"}, {name: "model"}, {name: "context_size"}, {name: "runtime_flags"}}},
		{name: "jobs", level: ignored, shape: named, keys: jobKeys(), kept: true},
	}
})

func includeKeys() []key {
	return []key{
		{name: "path", shape: someTexts},
		{name: "project_directory", shape: text},
		{name: "env_file", shape: someTexts},
	}
}

func serviceKeys() []key {
	const inCommand = "make it a part of the service's command"
	keys := []key{
		{name: "external_links", level: refused, shape: texts, note: "put both on a network that is external: services on it reach each other by name, and by its aliases:"},
		{name: "links", level: refused, shape: texts, note: "services reach each other by name: remove it, and write aliases: of a network for other names"},
		{name: "post_start", level: refused, note: inCommand},
		{name: "pre_start", level: refused, note: "make it a service, and depend on it with condition: " + ServiceCompleted},
		{name: "pre_stop", level: refused, note: inCommand},
		{name: "provider", level: refused, note: "run what provides it by other means, and remove the service"},
		{name: "volumes_from", level: refused, shape: texts, note: "write the volumes of the other service here"},
		{name: "blkio_config", level: ignored, shape: object, keys: blockKeys()},
		{name: "cgroup", level: ignored, shape: text, kept: true},
		{name: "ipc", level: ignored, shape: text, kept: true},
		{name: "gpus", level: ignored, shape: deviceList, keys: deviceKeys()},
		{name: "pid", level: ignored, shape: text, kept: true},
		{name: "security_opt", level: ignored, note: "Docker's default seccomp profile holds and no other; no AppArmor profile, no SELinux label; no-new-privileges is not set"},
		{name: "umask", level: ignored, shape: creationMask},
		{name: "userns_mode", level: ignored, note: "the users of a container are those of the host, root too"},
		{name: "uts", level: ignored, shape: text, kept: true},
		{name: "build", shape: buildForm, keys: buildKeys()},
		{name: "cap_add", shape: texts},
		{name: "cap_drop", shape: texts},
		{name: "command", shape: commandLine},
		{name: "configs", shape: fileMounts, keys: fileMountKeys()},
		{name: "container_name", shape: text},
		{name: "cpus", shape: real},
		{name: "depends_on", shape: dependSet, keys: []key{
			{name: "condition", shape: text, words: []string{ServiceStarted, ServiceHealthy, ServiceCompleted}},
			{name: "required", shape: truth},
			{name: "restart", shape: truth},
		}},
		{name: "deploy", shape: object, keys: deployKeys()},
		{name: "develop", shape: object, former: "x-develop", keys: []key{
			{name: "watch", shape: watchList, keys: watchKeys()},
		}},
		{name: "entrypoint", shape: commandLine},
		{name: "env_file", shape: envFiles, level: resolved, note: "its variables become the service's environment", keys: []key{
			{name: "path", shape: text},
			{name: "required", shape: truth},
			{name: "format", shape: text, words: []string{"raw"}},
		}},
		{name: "environment", shape: pairs},
		{name: "expose", shape: exposeList},
		{name: "extends", shape: extendsForm, level: resolved, note: "of the same file or of another local one", keys: []key{
			{name: "file", shape: text},
			{name: "service", shape: text},
		}},
		{name: "extra_hosts", shape: hostList},
		{name: "healthcheck", shape: object, keys: healthKeys()},
		{name: "hostname", shape: text},
		{name: "image", shape: text},
		{name: "init", shape: truth},
		{name: "label_file", shape: pathList, level: resolved, note: "its variables become the service's labels"},
		{name: "labels", shape: labels},
		{name: "mem_limit", shape: size},
		{name: "network_mode", shape: text, note: "bridge, none, host, service:NAME, container:NAME"},
		{name: "networks", shape: networkSet, keys: serviceNetworkKeys()},
		{name: "pids_limit", shape: whole},
		{name: "ports", shape: portList, keys: portKeys()},
		{name: "privileged", shape: truth},
		{name: "profiles", shape: texts},
		{name: "pull_policy", shape: text, note: strings.Join(pullPolicies(), ", ") + ", every_TIME such as every_2d"},
		{name: "read_only", shape: truth},
		{name: "restart", shape: text, note: "no, always, on-failure[:N], unless-stopped"},
		{name: "scale", shape: whole},
		{name: "secrets", shape: fileMounts, keys: fileMountKeys()},
		{name: "stdin_open", shape: truth},
		{name: "stop_grace_period", shape: span},
		{name: "stop_signal", shape: text},
		{name: "tmpfs", shape: someTexts},
		{name: "tty", shape: truth},
		{name: "ulimits", shape: limitSet, keys: []key{{name: "soft", shape: whole}, {name: "hard", shape: whole}}},
		{name: "user", shape: text},
		{name: "volumes", shape: mountList, keys: mountKeys()},
		{name: "working_dir", shape: text},
	}
	return append(keys, notYet("annotations", "attach", "cgroup_parent", "cpu_count", "cpu_percent",
		"cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime", "cpu_shares", "cpuset", "credential_spec",
		"device_cgroup_rules", "devices", "dns", "dns_opt", "dns_search", "domainname",
		"group_add", "isolation", "logging", "mac_address", "mem_reservation",
		"mem_swappiness", "memswap_limit", "models", "oom_kill_disable", "oom_score_adj", "platform", "pull_refresh_after", "runtime", "shm_size", "storage_opt",
		"sysctls", "use_api_socket")...)
}

func watchKeys() []key {
	return []key{
		{name: "action", shape: text, words: []string{WatchSync, WatchSyncRestart, WatchSyncExec, WatchRestart, WatchRebuild}},
		{name: "exec", shape: object, keys: []key{
			{name: "command", shape: commandLine},
			{name: "environment", shape: pairs},
			{name: "privileged", shape: truth},
			{name: "user", shape: text},
			{name: "working_dir", shape: text},
		}},
		{name: "ignore", shape: someTexts},
		{name: "include", shape: someTexts},
		{name: "initial_sync", shape: truth, former: "x-initialSync"},
		{name: "path", shape: filePath},
		{name: "target", shape: text},
	}
}

// notYet are keys of the specification that are not carried out.
func notYet(names ...string) []key {
	keys := make([]key, len(names))
	for i, n := range names {
		keys[i] = key{name: n, level: ignored}
	}
	return keys
}

func buildKeys() []key {
	return append([]key{
		{name: "additional_contexts", shape: contextSet, note: "paths, URLs, docker-image://REF, service:NAME"},
		{name: "args", shape: pairs},
		{name: "context", shape: dirPath},
		{name: "dockerfile", shape: text},
		{name: "dockerfile_inline", shape: text},
		{name: "labels", shape: labels},
		{name: "no_cache", shape: truth},
		{name: "pull", shape: truth},
		{name: "secrets", shape: fileMounts, keys: fileMountKeys()},
		{name: "ssh", level: ignored, shape: anyGiven},
		{name: "target", shape: text},
	}, notYet("cache_from", "cache_to", "entitlements", "extra_hosts", "isolation", "network", "no_cache_filter", "platforms",
		"privileged", "provenance", "sbom", "shm_size", "tags", "ulimits")...)
}

func fileMountKeys() []key {
	return []key{
		{name: "source", shape: text},
		{name: "target", shape: text},
		{name: "uid", shape: numberText},
		{name: "gid", shape: numberText},
		{name: "mode", shape: fileMode},
	}
}

func deployKeys() []key {
	return append([]key{
		{name: "replicas", shape: whole},
		{name: "update_config", shape: object, keys: append([]key{
			{name: "order", shape: text, words: []string{StartFirst, StopFirst}},
		}, notYet("delay", "failure_action", "max_failure_ratio", "monitor", "parallelism")...)},
		{name: "resources", level: ignored, shape: object, keys: resourceKeys(), note: "use mem_limit, cpus and pids_limit of the service"},
	}, notYet("endpoint_mode", "labels", "mode", "placement", "restart_policy", "rollback_config")...)
}

func resourceKeys() []key {
	return []key{
		{name: "limits", shape: object, keys: []key{{name: "cpus"}, {name: "memory"}, {name: "pids"}}},
		{name: "reservations", shape: object, keys: []key{
			{name: "cpus"}, {name: "memory"}, {name: "generic_resources"}, {name: "devices", shape: deviceList, keys: deviceKeys()},
		}},
	}
}

func deviceKeys() []key {
	return []key{{name: "capabilities"}, {name: "count"}, {name: "device_ids"}, {name: "driver"}, {name: "options"}}
}

func blockKeys() []key {
	keys := []key{{name: "weight"}, {name: "weight_device", shape: objects, keys: []key{{name: "path"}, {name: "weight"}}}}
	for _, name := range []string{"device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops"} {
		keys = append(keys, key{name: name, shape: objects, keys: []key{{name: "path"}, {name: "rate"}}})
	}
	return keys
}

func healthKeys() []key {
	return []key{
		{name: "disable", shape: truth},
		{name: "interval", shape: span},
		{name: "retries", shape: whole},
		{name: "start_interval", shape: span},
		{name: "start_period", shape: span},
		{name: "test", shape: probe},
		{name: "timeout", shape: span},
	}
}

func serviceNetworkKeys() []key {
	return append([]key{
		{name: "aliases", shape: texts},
		{name: "ipv4_address", shape: text},
		{name: "priority", shape: whole},
		{name: "use_service_name_alias", level: ignored, shape: truth},
	}, notYet("driver_opts", "gw_priority", "interface_name", "ipv6_address", "link_local_ips", "mac_address")...)
}

func portKeys() []key {
	return append([]key{
		{name: "host_ip", shape: text},
		{name: "mode", shape: text, words: []string{"ingress", "host"}},
		{name: "name", shape: text},
		{name: "protocol", shape: text, words: protocols(), note: "sctp ports are not published yet"},
		{name: "published", shape: numberText},
		{name: "target", shape: whole},
	}, notYet("app_protocol")...)
}

func mountKeys() []key {
	return append([]key{
		{name: "bind", shape: object, keys: append([]key{
			{name: "create_host_path", shape: truth},
			{name: "propagation", shape: text, words: []string{"private", "rprivate", "shared", "rshared", "slave", "rslave"}},
			{name: "recursive", shape: text, words: []string{recursiveEnabled, recursiveWritable, recursiveDisabled, recursiveReadOnly},
				note: recursiveEnabled + ", " + recursiveWritable + "; others are refused where a service uses them"},
		}, notYet("selinux")...)},
		{name: "read_only", shape: truth},
		{name: "source", shape: text},
		{name: "target", shape: text},
		{name: "tmpfs", shape: object, keys: []key{{name: "mode", shape: fileMode}, {name: "size", shape: size}}},
		{name: "type", shape: text, words: []string{MountBind, MountVolume, MountTmpfs}},
		{name: "volume", shape: object, keys: append([]key{
			{name: "nocopy", shape: truth},
			{name: "subpath", shape: text, note: "it must be there when a container starts"},
		}, notYet("labels")...)},
	}, notYet("consistency", "image")...)
}

func networkKeys() []key {
	return append([]key{
		{name: "driver", shape: text, words: []string{"bridge"}},
		{name: "external", shape: external},
		{name: "internal", shape: truth},
		{name: "ipam", shape: object, keys: append([]key{
			{name: "config", shape: objects, keys: append([]key{
				{name: "gateway", shape: text},
				{name: "ip_range", shape: text},
				{name: "subnet", shape: text},
			}, notYet("aux_addresses")...)},
			{name: "driver", shape: text, words: []string{"default"}},
		}, notYet("options")...)},
		{name: "labels", shape: labels},
		{name: "name", shape: text},
		{name: "driver_opts", level: ignored, shape: pairs, kept: true},
	}, notYet("attachable", "enable_ipv4", "enable_ipv6")...)
}

func volumeKeys() []key {
	return []key{
		{name: "driver", shape: text, words: []string{"local"}},
		{name: "driver_opts", level: refused, shape: pairs, note: "for a directory of the host, write it as the source of the service's volume"},
		{name: "external", shape: external},
		{name: "labels", shape: labels},
		{name: "name", shape: text},
	}
}

func secretKeys() []key {
	const inFile = "write the content itself: file:, environment: or content:"
	return []key{
		{name: "content", shape: text},
		{name: "environment", shape: text},
		{name: "external", shape: external, note: "refused where a service uses it: there is no store"},
		{name: "driver", level: refused, shape: text, note: inFile},
		{name: "driver_opts", level: refused, shape: pairs, note: inFile},
		{name: "file", shape: filePath},
		{name: "labels", shape: labels},
		{name: "name", shape: text},
		{name: "template_driver", level: refused, shape: text, note: inFile + " as it is to be"},
	}
}

// jobKeys are those of a job, which is not carried out yet: those of a service
// that make a container, and what triggers it.
func jobKeys() []key {
	ofServices := []string{"attach", "container_name", "deploy", "develop", "extends", "external_links", "links", "post_start", "pre_start",
		"pre_stop", "provider", "restart", "scale"}
	keys := slices.DeleteFunc(serviceKeys(), func(k key) bool { return slices.Contains(ofServices, k.name) })
	return append(keys, key{name: "triggers", shape: object, keys: []key{{name: "manual"}, {name: "schedule", shape: scheduleList, keys: []key{
		{name: "cron", shape: text},
		{name: "timezone", shape: text},
		{name: "concurrency", shape: text, words: []string{"forbid", "queue"}},
		{name: "missed_fires", shape: text, words: []string{"one", "skip"}},
	}}}})
}
