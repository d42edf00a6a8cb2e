package oneoff

import (
	"errors"
	"regexp"
	"strings"

	"github.com/orlop/orlop/spec"
)

// flagOf is the flag that says what a key of a stack file does; "" if none does.
func flagOf(key string) string {
	switch key {
	case "ports":
		key = "publish"
	case "devices", "volumes", "labels", "annotations", "sysctls", "ulimits":
		key = strings.TrimSuffix(key, "s")
	case "mem_limit":
		key = "memory"
	case "memswap_limit":
		key = "memory-swap"
	case "working_dir":
		key = "workdir"
	case "environment":
		key = "env"
	case "extra_hosts":
		key = "add-host"
	case "networks", "network_mode":
		key = "network"
	case "security_opt", "cap_add", "cap_drop", "group_add", "shm_size", "volumes_from", "pids_limit", "stop_signal", "cgroup_parent":
		key = strings.ReplaceAll(key, "_", "-")
	case "stop_grace_period":
		key = "stop-timeout"
	case "healthcheck":
		key = "health-cmd"
	case "logging":
		key = "log-driver"
	case "pull_policy":
		key = "pull"
	case "gpus", "cpus", "dns", "user", "hostname", "ipc", "pid", "uts", "runtime", "platform", "tmpfs", "restart", "privileged", "init":
	default:
		return flagOfKey(key)
	}
	return "--" + key
}

// inWords is what is wrong with a flag that is read as a part of a stack file: there is no file to point to.
func inWords(err error, service string) error {
	mistakes, ok := errors.AsType[*spec.Mistakes](err)
	if !ok {
		return err
	}
	var errs []error
	for _, d := range mistakes.Diagnostics.Errors() {
		text := strings.TrimPrefix(d.Message, "services."+service+".")
		key, rest, _ := strings.Cut(strings.TrimPrefix(d.Path, "services."+service+"."), ".")
		key, _, _ = strings.Cut(key, "[")
		flag := flagOf(key)
		if key == "healthcheck" && rest != "" && rest != "test" {
			flag = "--health-" + strings.ReplaceAll(rest, "_", "-")
		}
		if flag != "" {
			text = flag + ": " + text
		}
		if d.Hint != "" {
			text += " (" + d.Hint + ")"
		}
		errs = append(errs, errors.New(inFlags(text, service)))
	}
	return errors.Join(errs...)
}

// reworded is an error of an engine that knows of stack files only, in the words of who has written flags.
type reworded struct {
	error
	text string
}

func (r *reworded) Error() string { return r.text }
func (r *reworded) Unwrap() error { return r.error }

// reword says an error in the words of the flags.
func reword(err error, service string) error {
	if err == nil {
		return nil
	}
	if text := inFlags(err.Error(), service); text != err.Error() {
		return &reworded{err, text}
	}
	return err
}

var (
	place     = regexp.MustCompile(`(?m)^<stdin>:\d+:\d+: `)
	path      = regexp.MustCompile(`services\.([^ ]+?)\.([a-z_]+)[^ :]*: `)
	fileWords = strings.NewReplacer(
		", or remove `external: true`", "", ", or set bind.create_host_path: true", "", "pull_policy is never", "--pull is never",
		"write mem_limit too", "write --memory too", `is there to share the network of: run "orlop up"`, "is there to share the network of: start it first",
		`is there to share the PID namespace of: run "orlop up"`, "is there to share the PID namespace of: start it first",
		`is there to share the IPC namespace of: run "orlop up"`, "is there to share the IPC namespace of: start it first",
		`no container of container "`, `no container "`,
	)
)

// inFlags leaves out what a text says of a stack file, and names flags for its keys.
func inFlags(text, service string) string {
	text = path.ReplaceAllStringFunc(place.ReplaceAllString(text, ""), func(at string) string {
		m := path.FindStringSubmatch(at)
		if m[1] != service {
			return at
		}
		if flag := flagOf(m[2]); flag != "" {
			return flag + ": "
		}
		return ""
	})
	return fileWords.Replace(text)
}
