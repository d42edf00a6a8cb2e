// Package schema is the table of keys of a stack file: what each may hold, how two
// of them are merged, and how far Orlop carries it out. It reads nothing, and it
// knows no values.
package schema

import (
	"slices"
	"strings"
	"sync"

	"github.com/orlop/orlop/spec"
)

// Level says how far Orlop carries a key out.
type Level uint8

const (
	Supported   Level = iota // whole
	Unsupported              // a key of the specification that is not supported: a warning
	Obsolete                 // a key that the specification dropped: a warning, never an error
	LoadOnly                 // used while loading and gone from the project
	NoEffect                 // accepted, and without effect on one machine with Linux
	Refused                  // not supported, and the outcome would be wrong without it: an error where it is used
)

// Key is one row of the table of keys: it drives validation, canonical forms,
// merging, suggestions and docs/compose-support.md.
type Key struct {
	Name   string
	Shape  Shape
	Level  Level
	Keys   []Key    // of an object, a named map of objects or a list of objects
	Words  []string // the only values that are allowed, if any
	Note   string   // for the documentation; of an ignored or refused key also the hint
	Former string   // the extension ("x-...") that it was before, which is still read
	Kept   bool     // of an ignored key: its value is looked at by what checks the project
}

// Shape is the form of a key's value: what is accepted, its canonical form,
// and how two of them are merged.
type Shape uint8

const (
	Any                Shape = iota
	String                   // text
	StringOrNumber           // text or a number, kept as text
	Boolean                  // true or false
	Integer                  // an integer
	Number                   // a number
	Duration                 // a duration
	Bytes                    // a number of bytes
	BytesOrUnlimited         // the same, or -1
	Microseconds             // microseconds, or a duration
	FileMode                 // permission bits, octal
	StringList               // a list of texts
	StringOrList             // a text or a list of texts
	StringOrNumberList       // a list of texts and numbers, kept as text
	MappingOrList            // a mapping or a list of NAME=VALUE; no value is null
	Labels                   // the same; no value is ""
	Object                   // a mapping with known keys
	Named                    // a mapping of names to objects
	ObjectList               // a list of objects
	Command                  // a text, split into words, or a list
	HealthTest               // a text (a shell line) or a list that starts with NONE, CMD or CMD-SHELL
	Ports                    // ports, short or long
	Expose                   // ports without a host side
	Mounts                   // volumes, short or long
	FileMounts               // names of secrets or configs, or objects
	PathOrList               // a path or a list of paths, made absolute
	Devices                  // a list of devices to reserve, or all
	DeviceNodes              // devices, short or long
	Schedule                 // a list of cron lines or objects
	Umask                    // permission bits, as YAML writes an integer
	StringOrFlag             // text, or true or false, kept as text
	SSH                      // default, or ID=PATH, in a list or a mapping
	Networks                 // names of networks or models, or a mapping to objects
	Options                  // a mapping of names to texts or lists of texts
	DependsOn                // names of services, or a mapping to objects
	Build                    // a path or an object
	EnvFiles                 // a path, or a list of paths or objects
	Hosts                    // NAME=ADDRESS list, or a mapping
	Ulimits                  // a mapping of names to a number or {soft, hard}
	External                 // true, false, or the old {name: ...}
	Contexts                 // a mapping or list of NAME=CONTEXT
	Logging                  // an object; with another driver, its options go
	DirPath                  // a path, made absolute
	FilePath                 // a path, made absolute
	Extends                  // a service's name, or {file, service}
	Include                  // a list of paths or objects
	Watch                    // a list of objects, all of which count
)

// MergeRule is how a value of a later file meets that of an earlier one.
type MergeRule uint8

const (
	MergeReplace MergeRule = iota // the later one stands
	MergeMap                      // key by key
	MergeAppend                   // the later entries follow; equal ones are kept once
	MergeUnique                   // entries with the same identity are replaced in place
)

// MergeRule is how two values of the shape are merged (Compose Specification, merge).
func (s Shape) MergeRule() MergeRule {
	switch s {
	case MappingOrList, Labels, SSH, Object, Options, Logging, Named, Networks, DependsOn, Build, Ulimits, Contexts:
		return MergeMap
	case StringList, StringOrList, StringOrNumberList, EnvFiles, PathOrList, Hosts, Expose, Include, Watch, Schedule:
		return MergeAppend
	case Ports, Mounts, FileMounts, ObjectList, DeviceNodes:
		return MergeUnique
	}
	return MergeReplace
}

// Find is the row of a key.
func Find(keys []Key, name string) *Key {
	if of := services(); len(keys) == len(of.keys) && &keys[0] == &of.keys[0] {
		return of.rows[name]
	}
	return find(keys, name)
}

// services are the keys of services, and their rows by name: there are many of them, and
// most that is looked for is there.
var services = sync.OnceValue(func() (of struct {
	keys []Key
	rows map[string]*Key
}) {
	of.keys = find(Root(), "services").Keys
	of.rows = make(map[string]*Key, len(of.keys))
	for i := range of.keys {
		of.rows[of.keys[i].Name] = &of.keys[i]
	}
	return of
})

func find(keys []Key, name string) *Key {
	for i := range keys {
		if keys[i].Name == name {
			return &keys[i]
		}
	}
	return nil
}

// Names are those of keys, in their order.
func Names(keys []Key) []string {
	var out []string
	for i := range keys {
		out = append(out, keys[i].Name)
	}
	return out
}

// Root are the keys at the top of a stack file, and by them the whole table.
var Root = sync.OnceValue(func() []Key {
	return []Key{
		{Name: "version", Level: Obsolete, Note: "accepted and without meaning"},
		{Name: "name", Shape: String},
		{Name: "include", Shape: Include, Level: LoadOnly, Keys: includeKeys(), Note: "local ones, of git repositories and of registries: [remote stacks](composition.md)"},
		{Name: "services", Shape: Named, Keys: serviceKeys()},
		{Name: "networks", Shape: Named, Keys: networkKeys()},
		{Name: "volumes", Shape: Named, Keys: volumeKeys()},
		{Name: "secrets", Shape: Named, Keys: secretKeys()},
		{Name: "configs", Shape: Named, Keys: secretKeys()},
		{Name: "models", Shape: Named, Note: "run by docker-model, a program of Docker's", Keys: []Key{
			{Name: "name", Shape: String},
			{Name: "model", Shape: String},
			{Name: "context_size", Shape: Integer},
			{Name: "runtime_flags", Shape: StringList},
		}},
		{Name: "jobs", Shape: Named, Keys: jobKeys(), Note: "containers that run to completion: \"orlop run NAME\" runs one; keys as those of services, but for what concerns services that run on"},
	}
})

func includeKeys() []Key {
	return []Key{
		{Name: "path", Shape: StringOrList},
		{Name: "project_directory", Shape: String},
		{Name: "env_file", Shape: StringOrList},
	}
}

func serviceKeys() []Key {
	keys := []Key{
		{Name: "external_links", Shape: StringList, Note: "CONTAINER[:ALIAS] of any project, on a network that both are on"},
		{Name: "links", Shape: StringList, Note: "SERVICE[:ALIAS]; the name resolves in the containers of this service alone"},
		{Name: "post_start", Shape: Watch, Keys: hookKeys(), Note: "once up, start or restart has started the container; one that fails stops it"},
		{Name: "pre_stop", Shape: Watch, Keys: hookKeys(), Note: "before stop, restart, down or a replacement ends the container; one that fails keeps it"},
		{Name: "models", Shape: Networks, Note: "NAME_URL and NAME_MODEL in the environment, or the variables that are named", Keys: []Key{
			{Name: "endpoint_var", Shape: String},
			{Name: "model_var", Shape: String},
		}},
		{Name: "provider", Shape: Object, Note: "a program that provides the service: it is run before what depends on it, and its variables are theirs", Keys: []Key{
			{Name: "options", Shape: Options},
			{Name: "type", Shape: String},
		}},
		{Name: "annotations", Shape: MappingOrList, Note: "of the OCI runtime"},
		{Name: "blkio_config", Shape: Object, Keys: blockKeys(), Note: "weights need a scheduler of the disk that knows them"},
		{Name: "cpu_count", Level: NoEffect, Note: "of Windows"},
		{Name: "cpu_percent", Level: NoEffect, Note: "of Windows"},
		{Name: "cpu_period", Shape: Microseconds},
		{Name: "cpu_quota", Shape: Microseconds},
		{Name: "cpu_rt_period", Shape: Microseconds, Note: "where the kernel has real-time groups"},
		{Name: "cpu_rt_runtime", Shape: Microseconds, Note: "where the kernel has real-time groups"},
		{Name: "cpu_shares", Shape: Integer},
		{Name: "cpuset", Shape: String},
		{Name: "group_add", Shape: StringOrNumberList},
		{Name: "mem_reservation", Shape: Bytes},
		{Name: "mem_swappiness", Shape: Integer, Note: "cgroup v1"},
		{Name: "memswap_limit", Shape: BytesOrUnlimited, Note: "memory and swap together; twice mem_limit unless it is given"},
		{Name: "oom_kill_disable", Shape: Boolean, Note: "cgroup v1"},
		{Name: "oom_score_adj", Shape: Integer},
		{Name: "security_opt", Shape: StringList, Note: "no-new-privileges, seccomp (unconfined, builtin or a file), apparmor where the kernel has it, systempaths=unconfined, writable-cgroups; label has no effect"},
		{Name: "shm_size", Shape: Bytes},
		{Name: "sysctls", Shape: MappingOrList, Note: "those of the container's own namespaces; others are refused"},
		{Name: "devices", Shape: DeviceNodes, Note: "paths, and names of the Container Device Interface", Keys: []Key{
			{Name: "source", Shape: String}, {Name: "target", Shape: String}, {Name: "permissions", Shape: String},
		}},
		{Name: "device_cgroup_rules", Shape: StringList},
		{Name: "cgroup_parent", Shape: String},
		{Name: "gpus", Shape: Devices, Note: "by the Container Device Interface", Keys: deviceKeys()},
		{Name: "umask", Shape: Umask},
		{Name: "attach", Shape: Boolean, Note: "false: an up in the foreground does not show its output"},
		{Name: "pull_refresh_after", Shape: String, Note: "with pull_policy: refresh"},
		{Name: "storage_opt", Level: Refused, Shape: MappingOrList, Note: "the layers of containers have no quotas: give what is written a tmpfs with a size, or a volume"},
		{Name: "use_api_socket", Level: Refused, Shape: Boolean, Note: "there is no Docker API whose socket could be given: remove it"},
		{Name: "build", Shape: Build, Keys: buildKeys()},
		{Name: "cap_add", Shape: StringList},
		{Name: "cgroup", Shape: String, Words: []string{"", "host", "private"}},
		{Name: "cap_drop", Shape: StringList},
		{Name: "command", Shape: Command},
		{Name: "configs", Shape: FileMounts, Keys: fileMountKeys()},
		{Name: "container_name", Shape: String},
		{Name: "cpus", Shape: Number},
		{Name: "depends_on", Shape: DependsOn, Keys: []Key{
			{Name: "condition", Shape: String, Words: []string{spec.ServiceStarted, spec.ServiceHealthy, spec.ServiceCompleted}},
			{Name: "required", Shape: Boolean},
			{Name: "restart", Shape: Boolean},
		}},
		{Name: "credential_spec", Level: NoEffect, Note: "of Windows"},
		{Name: "deploy", Shape: Object, Keys: deployKeys()},
		{Name: "develop", Shape: Object, Former: "x-develop", Keys: []Key{
			{Name: "watch", Shape: Watch, Keys: watchKeys()},
		}},
		{Name: "dns", Shape: StringOrList, Note: "asked in place of the host's resolvers, from the container's network"},
		{Name: "dns_opt", Shape: StringList},
		{Name: "dns_search", Shape: StringOrList},
		{Name: "domainname", Shape: String},
		{Name: "entrypoint", Shape: Command},
		{Name: "env_file", Shape: EnvFiles, Level: LoadOnly, Note: "its variables become the service's environment", Keys: []Key{
			{Name: "path", Shape: String},
			{Name: "required", Shape: Boolean},
			{Name: "format", Shape: String, Words: []string{"raw"}},
		}},
		{Name: "environment", Shape: MappingOrList},
		{Name: "expose", Shape: Expose},
		{Name: "extends", Shape: Extends, Level: LoadOnly, Note: "of the same file or of another, local or [remote](composition.md)", Keys: []Key{
			{Name: "file", Shape: String},
			{Name: "service", Shape: String},
		}},
		{Name: "extra_hosts", Shape: Hosts},
		{Name: "healthcheck", Shape: Object, Keys: healthKeys()},
		{Name: "hostname", Shape: String},
		{Name: "image", Shape: String},
		{Name: "init", Shape: Boolean},
		{Name: "ipc", Shape: String, Note: "host, private, shareable, none, service:NAME, container:NAME"},
		{Name: "isolation", Level: NoEffect, Shape: String, Note: "of Windows"},
		{Name: "label_file", Shape: PathOrList, Level: LoadOnly, Note: "its variables become the service's labels"},
		{Name: "labels", Shape: Labels},
		{Name: "logging", Shape: Logging, Note: "another driver brings its own options", Keys: []Key{
			{Name: "driver", Shape: String, Note: strings.Join(spec.LogDrivers(), ", ")},
			{Name: "options", Shape: MappingOrList, Note: "those of Docker's driver of that name; see docs/logging.md"},
		}},
		{Name: "mac_address", Shape: String, Note: "on the network of the highest priority"},
		{Name: "mem_limit", Shape: Bytes},
		{Name: "network_mode", Shape: String, Note: "none, host, service:NAME, container:NAME; bridge is the stack's default network"},
		{Name: "networks", Shape: Networks, Keys: serviceNetworkKeys()},
		{Name: "pid", Shape: String, Note: "host, service:NAME, container:NAME"},
		{Name: "pids_limit", Shape: Integer},
		{Name: "platform", Shape: String, Note: "of the image that is pulled, built and run; one of another machine needs an emulator of it"},
		{Name: "ports", Shape: Ports, Keys: portKeys()},
		{Name: "privileged", Shape: Boolean},
		{Name: "profiles", Shape: StringList},
		{Name: "pull_policy", Shape: String, Note: strings.Join(spec.PullPolicies(), ", ") + ", every_TIME such as every_2d"},
		{Name: "read_only", Shape: Boolean},
		{Name: "restart", Shape: String, Note: "no, always, on-failure[:N], unless-stopped"},
		{Name: "runtime", Shape: String, Note: "runc (or io.containerd.runc.v2), by a runc process for each step where Orlop's shim else does it, or one that the engine's settings name: an OCI runtime, or a shim of containerd; steps of builds are not run by it"},
		{Name: "scale", Shape: Integer},
		{Name: "secrets", Shape: FileMounts, Keys: fileMountKeys()},
		{Name: "stdin_open", Shape: Boolean},
		{Name: "stop_grace_period", Shape: Duration},
		{Name: "stop_signal", Shape: String},
		{Name: "tmpfs", Shape: StringOrList},
		{Name: "tty", Shape: Boolean},
		{Name: "ulimits", Shape: Ulimits, Keys: []Key{{Name: "soft", Shape: Integer}, {Name: "hard", Shape: Integer}}},
		{Name: "user", Shape: String},
		{Name: "userns_mode", Shape: String, Words: []string{"", "host"}, Note: "host keeps the users of the machine; without it they are those of userns_remap in the engine's settings, where that is set, else the machine's too"},
		{Name: "uts", Shape: String, Words: []string{"", "host"}},
		{Name: "volumes", Shape: Mounts, Keys: mountKeys()},
		{Name: "volumes_from", Shape: StringList, Note: "SERVICE[:ro|rw], container:NAME[:ro|rw]; of a service with several containers, those of the first"},
		{Name: "working_dir", Shape: String},
	}
	return append(keys, Key{Name: "pre_start", Shape: Watch, Keys: initKeys(keys), Note: "init containers: they run to completion, one after another, before the containers of the service start; their keys are those of a service that make a container, and what is not given is the service's"})
}

// initKeys are those of an init container: of a service's those that make a container
// which runs to completion.
func initKeys(ofService []Key) []Key {
	others := []string{"attach", "build", "container_name", "depends_on", "deploy", "develop", "expose", "extends", "external_links", "healthcheck", "links", "ports",
		"post_start", "pre_stop", "profiles", "provider", "restart", "scale", "stdin_open", "tty"}
	keys := slices.DeleteFunc(slices.Clone(ofService), func(k Key) bool { return slices.Contains(others, k.Name) })
	return append(keys, Key{Name: "per_replica", Shape: Boolean, Note: "once for each replica, not once for the service"})
}

// NoSELinux says why the keys of SELinux have no effect.
const NoSELinux = "SELinux labels are not set; a machine that enforces them needs them set by hand"

// hookKeys are those of a command that is run in a container.
func hookKeys() []Key {
	return []Key{
		{Name: "command", Shape: Command},
		{Name: "environment", Shape: MappingOrList},
		{Name: "privileged", Shape: Boolean},
		{Name: "user", Shape: String},
		{Name: "working_dir", Shape: String},
	}
}

func watchKeys() []Key {
	return []Key{
		{Name: "action", Shape: String, Words: []string{spec.WatchSync, spec.WatchSyncRestart, spec.WatchSyncExec, spec.WatchRestart, spec.WatchRebuild}},
		{Name: "exec", Shape: Object, Keys: hookKeys()},
		{Name: "ignore", Shape: StringOrList},
		{Name: "include", Shape: StringOrList},
		{Name: "initial_sync", Shape: Boolean, Former: "x-initialSync"},
		{Name: "path", Shape: FilePath},
		{Name: "target", Shape: String},
	}
}

func buildKeys() []Key {
	return []Key{
		{Name: "additional_contexts", Shape: Contexts, Note: "paths, URLs, docker-image://REF, service:NAME"},
		{Name: "args", Shape: MappingOrList},
		{Name: "cache_from", Shape: StringList, Note: "type=local, type=registry, or a reference"},
		{Name: "cache_to", Shape: StringList, Note: "type=local, type=registry, type=inline, or a reference; written when the image is built"},
		{Name: "context", Shape: DirPath},
		{Name: "dockerfile", Shape: String},
		{Name: "dockerfile_inline", Shape: String},
		{Name: "entitlements", Shape: StringList, Note: strings.Join(spec.Entitlements(), ", ") + "; device is refused"},
		{Name: "extra_hosts", Shape: Hosts},
		{Name: "isolation", Level: NoEffect, Shape: String, Note: "of Windows"},
		{Name: "labels", Shape: Labels},
		{Name: "network", Shape: String, Note: "default, host, none; others are refused, as by Docker with BuildKit"},
		{Name: "no_cache", Shape: Boolean},
		{Name: "no_cache_filter", Shape: StringOrList},
		{Name: "platforms", Shape: StringList, Note: "steps of another machine's programs need an emulator of it"},
		{Name: "privileged", Shape: Boolean, Note: "lets steps ask for it: RUN --security=insecure"},
		{Name: "provenance", Shape: StringOrFlag, Note: "true, false, mode=min, mode=max; each build that is run gives another image"},
		{Name: "pull", Shape: Boolean},
		{Name: "sbom", Shape: StringOrFlag, Note: "true, false, generator=IMAGE; the scanner is an image, which must be here or in a registry that is reached"},
		{Name: "secrets", Shape: FileMounts, Keys: fileMountKeys()},
		{Name: "shm_size", Shape: Bytes},
		{Name: "ssh", Shape: SSH, Note: "default is the caller's agent; a key or a socket stays with the command"},
		{Name: "tags", Shape: StringList},
		{Name: "target", Shape: String},
		{Name: "ulimits", Shape: Ulimits, Keys: []Key{{Name: "soft", Shape: Integer}, {Name: "hard", Shape: Integer}}},
	}
}

func fileMountKeys() []Key {
	return []Key{
		{Name: "source", Shape: String},
		{Name: "target", Shape: String},
		{Name: "uid", Shape: StringOrNumber},
		{Name: "gid", Shape: StringOrNumber},
		{Name: "mode", Shape: FileMode},
	}
}

func deployKeys() []Key {
	return []Key{
		{Name: "mode", Shape: String, Words: spec.DeployModes(), Note: "global is one container, there being one machine; a job is ready once it has completed, and not run again by up"},
		{Name: "restart_policy", Shape: Object, Note: "in place of restart", Keys: []Key{
			{Name: "condition", Shape: String, Words: spec.RestartConditions(), Note: "any unless it is given"},
			{Name: "delay", Shape: Duration, Note: "0, the default, is a pause that grows from 0.1 s to a minute"},
			{Name: "max_attempts", Shape: Integer},
			{Name: "window", Shape: Duration, Note: "a try that runs that long counts not for max_attempts"},
		}},
		{Name: "endpoint_mode", Level: NoEffect, Kept: true, Shape: String, Words: []string{"vip", "dnsrr"}, Note: "of a swarm: names lead to all containers of a service, as with dnsrr"},
		{Name: "labels", Level: NoEffect, Kept: true, Shape: Labels, Note: "of a swarm's service, not of its containers: those have labels"},
		{Name: "placement", Level: NoEffect, Kept: true, Shape: Object, Note: "of a swarm: there is one machine", Keys: []Key{
			{Name: "constraints", Level: NoEffect, Kept: true, Shape: StringList}, {Name: "max_replicas_per_node", Level: NoEffect, Kept: true, Shape: Integer},
			{Name: "preferences", Level: NoEffect, Kept: true, Shape: ObjectList, Keys: []Key{{Name: "spread", Level: NoEffect, Kept: true, Shape: String}}},
		}},
		{Name: "replicas", Shape: Integer},
		{Name: "update_config", Shape: Object, Keys: updateKeys("pause is the default; rollback goes back to what the service was, see rollback_config", spec.FailureRollback)},
		{Name: "rollback_config", Shape: Object, Keys: updateKeys("pause is the default")},
		{Name: "resources", Shape: Object, Keys: resourceKeys()},
	}
}

// updateKeys say how containers are replaced, and what follows when that fails, which may be more
// than to pause or to go on.
func updateKeys(note string, more ...string) []Key {
	return []Key{
		{Name: "delay", Shape: Duration, Note: "from one batch to the next"},
		{Name: "failure_action", Shape: String, Words: append([]string{spec.FailurePause, spec.FailureContinue}, more...), Note: note},
		{Name: "max_failure_ratio", Shape: Number},
		{Name: "monitor", Shape: Duration, Note: "how long each batch is watched once it is ready; an up lasts as long"},
		{Name: "order", Shape: String, Words: []string{spec.StartFirst, spec.StopFirst}},
		{Name: "parallelism", Shape: Integer, Note: "0 is all at once; 1 beside delay or monitor unless it is given"},
	}
}

func resourceKeys() []Key {
	return []Key{
		{Name: "limits", Shape: Object, Keys: []Key{
			{Name: "cpus", Shape: Number}, {Name: "memory", Shape: Bytes}, {Name: "pids", Shape: Integer},
		}},
		{Name: "reservations", Shape: Object, Keys: []Key{
			{Name: "cpus", Shape: Number, Level: NoEffect, Kept: true, Note: "no scheduler of several machines asks for it"},
			{Name: "memory", Shape: Bytes},
			{Name: "generic_resources", Level: NoEffect, Note: "no scheduler of several machines asks for it"},
			{Name: "devices", Shape: Devices, Note: "by the Container Device Interface", Keys: deviceKeys()},
		}},
	}
}

func deviceKeys() []Key {
	return []Key{
		{Name: "capabilities", Shape: StringList}, {Name: "count", Shape: StringOrNumber}, {Name: "device_ids", Shape: StringOrNumberList},
		{Name: "driver", Shape: String}, {Name: "options", Shape: MappingOrList, Level: NoEffect, Note: "the documents of a driver's devices say all"},
	}
}

func blockKeys() []Key {
	keys := []Key{{Name: "weight", Shape: Integer}, {Name: "weight_device", Shape: ObjectList, Keys: []Key{{Name: "path", Shape: String}, {Name: "weight", Shape: Integer}}}}
	for _, name := range []string{"device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops"} {
		keys = append(keys, Key{Name: name, Shape: ObjectList, Keys: []Key{{Name: "path", Shape: String}, {Name: "rate", Shape: Bytes}}})
	}
	return keys
}

func healthKeys() []Key {
	return []Key{
		{Name: "disable", Shape: Boolean},
		{Name: "interval", Shape: Duration},
		{Name: "retries", Shape: Integer},
		{Name: "start_interval", Shape: Duration},
		{Name: "start_period", Shape: Duration},
		{Name: "test", Shape: HealthTest},
		{Name: "timeout", Shape: Duration},
	}
}

func serviceNetworkKeys() []Key {
	return []Key{
		{Name: "aliases", Shape: StringList},
		{Name: "driver_opts", Shape: MappingOrList, Note: spec.OptEndpointSysctls + ", " + spec.OptEndpointInterface + "; others are refused"},
		{Name: "gw_priority", Shape: Integer, Note: "by the network of the highest leads the default route; of equal ones by the first, see priority"},
		{Name: "interface_name", Shape: String},
		{Name: "ipv4_address", Shape: String},
		{Name: "ipv6_address", Shape: String, Note: "where the network has enable_ipv6"},
		{Name: "link_local_ips", Shape: StringList, Note: "of 169.254.0.0/16, and of fe80::/10 where the network has enable_ipv6"},
		{Name: "mac_address", Shape: String},
		{Name: "priority", Shape: Integer, Note: "eth0 is on the network of the highest, and so on"},
		{Name: "use_service_name_alias", Shape: Boolean},
	}
}

func portKeys() []Key {
	return []Key{
		{Name: "app_protocol", Shape: String, Note: "a note for who reads the project"},
		{Name: "host_ip", Shape: String},
		{Name: "mode", Shape: String, Words: []string{"ingress", "host"}, Note: "both are the same on one machine"},
		{Name: "name", Shape: String, Note: "a note for who reads the project"},
		{Name: "protocol", Shape: String, Words: spec.Protocols(), Note: "sctp needs a kernel that has it; without is an error before anything is begun"},
		{Name: "published", Shape: StringOrNumber},
		{Name: "target", Shape: Integer},
	}
}

func mountKeys() []Key {
	return []Key{
		{Name: "bind", Shape: Object, Keys: []Key{
			{Name: "create_host_path", Shape: Boolean},
			{Name: "propagation", Shape: String, Words: []string{"private", "rprivate", "shared", "rshared", "slave", "rslave"}},
			{Name: "recursive", Shape: String, Words: []string{spec.RecursiveEnabled, spec.RecursiveWritable, spec.RecursiveDisabled, spec.RecursiveReadOnly},
				Note: "what is mounted below: with enabled, the default, read-only below a read-only mount where the kernel can (5.12)"},
			{Name: "selinux", Level: NoEffect, Shape: String, Words: []string{"z", "Z"}, Note: NoSELinux},
		}},
		{Name: "read_only", Shape: Boolean},
		{Name: "source", Shape: String},
		{Name: "target", Shape: String},
		{Name: "tmpfs", Shape: Object, Keys: []Key{{Name: "mode", Shape: FileMode}, {Name: "size", Shape: Bytes}}},
		{Name: "type", Shape: String, Words: []string{spec.MountBind, spec.MountVolume, spec.MountTmpfs, spec.MountImage}},
		{Name: "volume", Shape: Object, Keys: []Key{
			{Name: "labels", Shape: Labels, Note: "of a volume that nobody named; others have theirs at the top level"},
			{Name: "nocopy", Shape: Boolean},
			{Name: "subpath", Shape: String, Note: "it must be there when a container starts"},
		}},
		{Name: "image", Shape: Object, Keys: []Key{{Name: "subpath", Shape: String, Note: "it must be there when a container starts"}}},
		{Name: "consistency", Level: NoEffect, Shape: String, Note: "of Docker Desktop"},
	}
}

func networkKeys() []Key {
	return []Key{
		{Name: "attachable", Level: NoEffect, Shape: Boolean, Note: "of a swarm: all containers may join"},
		{Name: "driver", Shape: String, Note: "bridge, macvlan or ipvlan; the machine's own network and none are external ones called host and none"},
		{Name: "external", Shape: External},
		{Name: "internal", Shape: Boolean},
		{Name: "ipam", Shape: Object, Keys: []Key{
			{Name: "config", Shape: ObjectList, Keys: []Key{
				{Name: "gateway", Shape: String},
				{Name: "ip_range", Shape: String},
				{Name: "subnet", Shape: String},
				{Name: "aux_addresses", Shape: MappingOrList, Note: "no container is given one of them"},
			}},
			{Name: "driver", Shape: String, Words: []string{"default"}},
			{Name: "options", Level: NoEffect, Shape: MappingOrList, Note: "of other drivers of addresses"},
		}},
		{Name: "labels", Shape: Labels},
		{Name: "name", Shape: String},
		{Name: "driver_opts", Shape: MappingOrList, Note: strings.Join(spec.NetworkOptions(), ", ") + "; parent, macvlan_mode, ipvlan_mode and ipvlan_flag of the other drivers"},
		{Name: "enable_ipv4", Shape: Boolean, Note: "false where enable_ipv6 is true"},
		{Name: "enable_ipv6", Shape: Boolean, Note: "a range of the engine's own where ipam names none; an error where the machine has IPv6 switched off"},
	}
}

func volumeKeys() []Key {
	return []Key{
		{Name: "driver", Shape: String, Words: []string{"local"}},
		{Name: "driver_opts", Shape: MappingOrList, Note: "type, device and o of a mount, as of Docker's local driver; size is refused, as there are no quotas"},
		{Name: "external", Shape: External},
		{Name: "labels", Shape: Labels},
		{Name: "name", Shape: String},
	}
}

func secretKeys() []Key {
	const inFile = "write the content itself: file:, environment: or content:"
	return []Key{
		{Name: "content", Shape: String},
		{Name: "environment", Shape: String},
		{Name: "external", Shape: External, Note: "one that the engine keeps: orlop secret create, orlop config create"},
		{Name: "driver", Level: Refused, Shape: String, Note: inFile},
		{Name: "driver_opts", Level: Refused, Shape: MappingOrList, Note: inFile},
		{Name: "file", Shape: FilePath},
		{Name: "labels", Shape: Labels},
		{Name: "name", Shape: String},
		{Name: "template_driver", Shape: String, Note: "golang: filled in for each container, as in a swarm"},
	}
}

// jobKeys are those of a job: those of a service
// that make a container, and what triggers it.
func jobKeys() []Key {
	ofServices := []string{"attach", "container_name", "deploy", "develop", "extends", "external_links", "links", "post_start", "pre_start",
		"pre_stop", "provider", "restart", "scale"}
	keys := slices.DeleteFunc(serviceKeys(), func(k Key) bool { return slices.Contains(ofServices, k.Name) })
	schedule := []Key{
		{Name: "cron", Shape: String, Note: "five fields with names too, or @hourly, @daily, @weekly, @monthly, @yearly"},
		{Name: "timezone", Shape: String, Note: "an IANA name; without one the machine's own"},
		{Name: "concurrency", Shape: String, Words: []string{"forbid", "queue"}, Note: "without one forbid; of the fires that find a run going on, one at most waits"},
		{Name: "missed_fires", Shape: String, Words: []string{"one", "skip"}, Note: "without one, one; a fire is missed a minute after its time"},
	}
	return append(keys, Key{Name: "triggers", Shape: Object, Note: "required; {manual: true} says that \"orlop run\" runs it", Keys: []Key{
		{Name: "manual", Shape: Boolean, Note: "false: \"orlop run\" refuses it"},
		{Name: "schedule", Shape: Schedule, Note: "the engine runs it, once \"orlop up\" has told it to", Keys: schedule},
	}})
}
