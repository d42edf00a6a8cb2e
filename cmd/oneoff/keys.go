package oneoff

import (
	"slices"

	"github.com/spf13/pflag"
)

// keyFlag is a flag of docker run that says what one key of a service does.
type keyFlag struct {
	name, short string
	key         string
	usage       string
}

// textFlags give a key its value, listFlags entries.
func textFlags() []keyFlag {
	return []keyFlag{
		{"cgroupns", "", "cgroup", "`namespace` of control groups: host or private"},
		{"cpu-period", "", "cpu_period", "`microseconds` in which it may take --cpu-quota"},
		{"cpu-quota", "", "cpu_quota", "`microseconds` of a processor that it may take in each period"},
		{"cpu-shares", "c", "cpu_shares", "`weight` of its share of the processors"},
		{"cpuset-cpus", "", "cpuset", "`processors` that it may run on: 0-2,4"},
		{"domainname", "", "domainname", "`domain` of its name for itself"},
		{"memory-reservation", "", "mem_reservation", "`bytes` of memory that it keeps where memory is short"},
		{"oom-score-adj", "", "oom_score_adj", "`score` by which the kernel ends it where memory is used up"},
		{"userns", "", "userns_mode", "`users` of its namespace: host"},
	}
}

func listFlags() []keyFlag {
	return []keyFlag{
		{"device-cgroup-rule", "", "device_cgroup_rules", "`rule` for devices: \"c 1:3 rw\""},
		{"dns-option", "", "dns_opt", "`option` of its resolver"},
		{"dns-search", "", "dns_search", "`domain` in which it looks for names"},
		{"expose", "", "expose", "`port` that it has, and does not publish"},
		{"label-file", "", "label_file", "`file` with labels, a NAME=value a line"},
	}
}

// keys are the values of those flags.
type keys struct {
	texts map[string]*string
	lists map[string]*[]string
}

func (k *keys) flags(f *pflag.FlagSet) {
	k.texts, k.lists = map[string]*string{}, map[string]*[]string{}
	for _, of := range textFlags() {
		k.texts[of.key] = f.StringP(of.name, of.short, "", of.usage)
	}
	for _, of := range listFlags() {
		k.lists[of.key] = f.StringArrayP(of.name, of.short, nil, of.usage)
	}
}

// flagOfKey is the flag of a key; "" if none of these is.
func flagOfKey(key string) string {
	all := slices.Concat(textFlags(), listFlags())
	if i := slices.IndexFunc(all, func(of keyFlag) bool { return of.key == key }); i >= 0 {
		return "--" + all[i].name
	}
	return ""
}

// describe says what the flags ask for as the service of a stack file does.
func (k *keys) describe(s map[string]any) {
	for key, value := range k.texts {
		if *value != "" {
			s[key] = literal([]string{*value})[0]
		}
	}
	for key, values := range k.lists {
		if len(*values) > 0 {
			s[key] = literal(*values)
		}
	}
}
