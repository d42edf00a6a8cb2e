package oneoff

import (
	"encoding/csv"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/orlop/orlop/cmd/cli"
)

// describe says what the flags ask for as the service of a stack file does; volumes takes the
// names of those that it mounts.
func (o *Image) describe(s, volumes map[string]any) error {
	set := func(key, value string) {
		if value != "" {
			s[key] = literal([]string{value})[0]
		}
	}
	list := func(key string, values []string) {
		if len(values) > 0 {
			s[key] = literal(values)
		}
	}
	set("cgroup_parent", o.CgroupParent)
	set("memswap_limit", o.MemorySwap)
	set("runtime", o.Runtime)
	set("stop_signal", o.StopSignal)
	list("annotations", o.Annotations)
	list("devices", o.Devices)
	list("sysctls", o.Sysctls)
	for _, name := range o.VolumesFrom {
		container, mode, has := strings.Cut(name, ":")
		if has {
			mode = ":" + mode
		}
		s["volumes_from"] = append(listed(s["volumes_from"]), "container:"+container+mode)
	}
	if o.PidsLimit != 0 {
		s["pids_limit"] = o.PidsLimit
	}
	if o.StopTimeout >= 0 {
		s["stop_grace_period"] = strconv.Itoa(o.StopTimeout) + "s"
	}
	if o.LogDriver != "" || len(o.LogOptions) > 0 {
		logging := map[string]any{}
		if o.LogDriver != "" {
			logging["driver"] = o.LogDriver
		}
		options, err := assignments("log-opt", o.LogOptions)
		if err != nil {
			return err
		}
		logging["options"] = options
		s["logging"] = logging
	}
	set("restart", o.Restart)
	o.keys.describe(s)
	return errors.Join(o.describeGPUs(s), o.describeHealth(s), o.describeLimits(s), o.describePlace(s), o.describeMounts(s, volumes))
}

func listed(have any) []string {
	list, _ := have.([]string)
	return list
}

// assignments are NAME=value of a flag.
func assignments(flag string, list []string) (map[string]any, error) {
	all := map[string]any{}
	for _, text := range list {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--%s is %q: it must be NAME=value", flag, text)
		}
		all[name] = literal([]string{value})[0]
	}
	return all, nil
}

func (o *Image) describeHealth(s map[string]any) error {
	check := map[string]any{}
	if o.HealthCmd != "" {
		check["test"] = append([]string{"CMD-SHELL"}, literal([]string{o.HealthCmd})...)
	}
	for key, value := range map[string]string{"interval": o.HealthInterval, "timeout": o.HealthTimeout, "start_period": o.HealthStart, "start_interval": o.HealthStartInterval, "retries": o.HealthRetries} {
		if value != "" {
			check[key] = value
		}
	}
	switch {
	case o.NoHealth && len(check) > 0:
		return errors.New("--no-healthcheck cannot be used together with flags of a health check")
	case o.NoHealth:
		check["disable"] = true
	}
	if len(check) > 0 {
		s["healthcheck"] = check
	}
	return nil
}

func (o *Image) describeLimits(s map[string]any) error {
	all := map[string]any{}
	for _, text := range o.Ulimits {
		name, value, ok := strings.Cut(text, "=")
		soft, hard, two := strings.Cut(value, ":")
		first, err := strconv.ParseInt(soft, 10, 64)
		second := first
		if err == nil && two {
			second, err = strconv.ParseInt(hard, 10, 64)
		}
		if !ok || err != nil {
			return fmt.Errorf("--ulimit is %q: it must be NAME=SOFT or NAME=SOFT:HARD, such as nofile=1024:4096", text)
		}
		all[name] = map[string]any{"soft": first, "hard": second}
	}
	if len(all) > 0 {
		s["ulimits"] = all
	}
	return nil
}

// describeGPUs reads --gpus as Docker does: all, a number, or fields such as "device=0,1".
func (o *Image) describeGPUs(s map[string]any) error {
	if o.GPUs == "" {
		return nil
	}
	fields, err := csv.NewReader(strings.NewReader(o.GPUs)).Read()
	if err != nil {
		return fmt.Errorf("--gpus is %q: it must be all, a number, or KEY=VALUE pairs with commas between", o.GPUs)
	}
	gpu := map[string]any{}
	for _, field := range fields {
		key, value, has := strings.Cut(field, "=")
		if !has {
			key, value = "count", key
		}
		switch key {
		case "count":
			if n, err := strconv.Atoi(value); err == nil {
				gpu["count"] = n
			} else if value == "all" {
				gpu["count"] = value
			} else {
				return fmt.Errorf("--gpus is %q: %q is neither a number nor all", o.GPUs, value)
			}
		case "driver":
			gpu["driver"] = literal([]string{value})[0]
		case "device":
			gpu["device_ids"] = literal(strings.Split(value, ","))
		case "capabilities":
			gpu["capabilities"] = literal(strings.Split(value, ","))
		case "options":
			options, err := assignments("gpus", strings.Split(value, ","))
			if err != nil {
				return err
			}
			gpu["options"] = options
		default:
			return fmt.Errorf("--gpus is %q: there is no %q: there are count, device, driver, capabilities and options", o.GPUs, key)
		}
	}
	s["gpus"] = []any{gpu}
	return nil
}

// describePlace says what it is on its network.
func (o *Image) describePlace(s map[string]any) error {
	place := map[string]any{}
	for key, value := range map[string]string{"ipv4_address": o.IP, "ipv6_address": o.IP6, "mac_address": o.MAC} {
		if value != "" {
			place[key] = value
		}
	}
	if err := cli.CheckAliases("network-alias", o.Aliases); err != nil {
		return err
	}
	if len(o.Aliases) > 0 {
		place["aliases"] = literal(o.Aliases)
	}
	switch {
	case len(place) == 0:
		return nil
	case s["networks"] == nil:
		return fmt.Errorf("--ip, --ip6, --mac-address and --network-alias are about a network: with --network %s there is none", o.Network)
	}
	s["networks"] = map[string]any{"default": place}
	return nil
}

// describeMounts reads --mount.
func (o *Image) describeMounts(s, volumes map[string]any) error {
	mounts := []any{}
	for _, short := range listed(s["volumes"]) {
		mounts = append(mounts, short)
	}
	for _, text := range o.Mounts {
		m, err := parseMount(text)
		if err != nil {
			return fmt.Errorf("--mount is %q: %w", text, err)
		}
		if source, _ := m["source"].(string); m["type"] == "volume" && source != "" {
			volumes[source] = map[string]any{"name": source, "external": true}
		}
		mounts = append(mounts, m)
	}
	if len(mounts) > 0 {
		s["volumes"] = mounts
	}
	return nil
}

// parseMount reads what Docker's --mount takes, as the long form of a stack file.
func parseMount(text string) (map[string]any, error) {
	fields, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return nil, errors.New("it must be KEY=VALUE pairs with commas between")
	}
	m := map[string]any{"type": "volume"}
	below := func(section, key string, value any) {
		of, _ := m[section].(map[string]any)
		if of == nil {
			of = map[string]any{}
			m[section] = of
		}
		of[key] = value
	}
	for _, field := range fields {
		key, value, has := strings.Cut(strings.TrimSpace(field), "=")
		text := literal([]string{value})[0]
		isOn, wrong := true, error(nil)
		if has {
			isOn, wrong = strconv.ParseBool(value)
		}
		if has && strings.TrimSpace(value) == "" {
			return nil, fmt.Errorf("%s has no value", key)
		}
		switch strings.ToLower(key) {
		case "type":
			m["type"] = text
		case "source", "src":
			m["source"] = text
		case "target", "dst", "destination":
			m["target"] = text
		case "readonly", "ro", "volume-nocopy":
			if wrong != nil {
				return nil, fmt.Errorf("%s is %q: it must be true or false", key, value)
			}
			if key == "volume-nocopy" {
				below("volume", "nocopy", isOn)
			} else {
				m["read_only"] = isOn
			}
		case "volume-subpath":
			below("volume", "subpath", text)
		case "image-subpath":
			below("image", "subpath", text)
		case "bind-propagation":
			below("bind", "propagation", text)
		case "tmpfs-size":
			below("tmpfs", "size", text)
		case "tmpfs-mode":
			mode, err := strconv.ParseUint(value, 8, 32)
			if err != nil {
				return nil, fmt.Errorf("tmpfs-mode is %q: it must be an octal number such as 1777", value)
			}
			below("tmpfs", "mode", mode)
		default:
			return nil, fmt.Errorf("there is no %q: there are type, source, target, readonly, bind-propagation, volume-nocopy, volume-subpath, image-subpath, tmpfs-size, tmpfs-mode", key)
		}
	}
	if m["target"] == nil {
		return nil, errors.New("target is missing")
	}
	if m["type"] == "bind" { // as Docker: only -v makes what is not there
		below("bind", "create_host_path", false)
	}
	return m, nil
}
