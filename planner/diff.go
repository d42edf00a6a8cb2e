package planner

import (
	"maps"
	"slices"
	"strings"

	"github.com/orlop/orlop/planner/difference"
	"github.com/orlop/orlop/spec"
)

// inPlace lists the service keys whose change needs no new container.
var inPlace = []string{
	"restart", "mem_limit", "memswap_limit", "mem_reservation", "cpus", "cpu_quota", "cpu_period", "cpu_shares", "cpuset", "pids_limit", "labels", "stop_grace_period", "stop_signal",
	"healthcheck", "ports", "post_start", "pre_stop", "depends_on", "profiles", "scale", "expose", "pull_policy",
}

// elsewhere lists the service keys that decide about the image or the number
// of replicas; what they change shows there, not in the container.
var elsewhere = []string{"build", "image", "scale", "profiles", "pull_policy", "pull_refresh_after", "depends_on", "develop", "attach"}

// inDeploy are the keys of deploy that decide about the containers: the others say
// how many there are, and how they are replaced.
var inDeploy = []string{"mode", "resources", "restart_policy"}

// change is what differs between the document that a container was made from
// and the wanted one.
type change struct {
	replace []Reason // fields that need a new container
	update  []Reason // fields that can be changed in place
}

// diff compares what a container was made from with what is wanted now.
func diff(service string, old, want *Applied, machine string, places spec.Places) change {
	var c change
	a, b := difference.Tree(difference.Effective(old.Service)), difference.Tree(difference.Effective(want.Service))
	if old.Service != nil && old.Service.PlatformOn(machine) == want.Service.PlatformOn(machine) {
		delete(a, "platform") // the machine's own says nothing
		delete(b, "platform")
	}
	ownOfInits(a)
	ownOfInits(b)
	for _, key := range difference.UnionKeys(a, b) {
		if slices.Contains(elsewhere, key) {
			continue
		}
		path, was, is := "services."+service+"."+key, a[key], b[key]
		if key == "deploy" {
			for _, r := range compareDeploy(path, was, is, places) {
				if strings.HasPrefix(r.Path, path+".resources.reservations.devices") {
					c.replace = append(c.replace, r)
				} else {
					c.update = append(c.update, r)
				}
			}
			continue
		}
		if key == inherited {
			c.replace = append(c.replace, compareInherited(service, a, b, places)...)
			continue
		}
		reasons := difference.Key(path, key, was, is, places)
		if key == "seccomp_profile" && len(reasons) > 0 { // it is long
			at := "services." + service + ".security_opt"
			reasons = []Reason{{Path: at, Text: at + ": the seccomp profile changed", Place: places.Nearest(at)}}
		}
		if key == "environment" {
			reasons = hideProvided(path, reasons, old.Service, want.Service)
		}
		if key == "pre_start" && len(reasons) > 0 {
			reasons = []Reason{{Path: path, Text: path + ": its containers changed", Place: places.Nearest(path)}}
		}
		if (key == "post_start" || key == "pre_stop") && len(reasons) > 0 {
			reasons = []Reason{{Path: path, Text: path + ": its commands changed", Place: places.Nearest(path)}}
		}
		if slices.Contains(inPlace, key) {
			c.update = append(c.update, reasons...)
		} else {
			c.replace = append(c.replace, reasons...)
		}
	}
	if old.HostIP != want.HostIP && len(want.Service.Ports) > 0 {
		at := "services." + service + ".ports"
		c.update = append(c.update, Reason{Path: at, Text: "its ports are bound elsewhere, by an option of its network", Place: places.Nearest(at)})
	}
	c.replace = append(c.replace, difference.Names("networks", old.Networks, want.Networks, places)...)
	c.replace = append(c.replace, difference.Names("volumes", old.Volumes, want.Volumes, places)...)
	for _, key := range slices.Sorted(maps.Keys(want.Files)) {
		if was, ok := old.Files[key]; ok && was != want.Files[key] {
			c.replace = append(c.replace, Reason{Path: key, Text: key + ": its content changed", Place: places.All()[key]})
		}
		if was, is := slices.Contains(old.Templates, key), slices.Contains(want.Templates, key); was != is {
			at := key + ".template_driver"
			c.replace = append(c.replace, Reason{Path: at, Text: at + map[bool]string{true: ": it is a template now", false: ": it is no template any more"}[is], Place: places.Nearest(at)})
		}
	}
	return c
}

// inherited is the key of what a service has by volumes_from of other services.
const inherited = "inherited_volumes"

// compareInherited compares it, where volumes_from itself doesn't say all.
func compareInherited(service string, was, is map[string]any, places spec.Places) []Reason {
	if !difference.Same(was["volumes_from"], is["volumes_from"]) {
		return nil
	}
	old, _ := was[inherited].([]any)
	want, _ := is[inherited].([]any)
	return difference.Lists("services."+service+".volumes_from", "volumes", old, want, places)
}

// compareDeploy compares the part of deploy that decides about the containers.
func compareDeploy(path string, was, is any, places spec.Places) []Reason {
	var rs []Reason
	for _, key := range inDeploy {
		rs = append(rs, difference.Trees(path+"."+key, difference.OrUnset(difference.Part(was, key)), difference.OrUnset(difference.Part(is, key)), places)...)
	}
	return rs
}

// inputReasons says in what two build inputs differ.
func inputReasons(service string, old, want *Inputs) []Reason {
	path := "services." + service + ".build"
	if want == nil {
		return []Reason{{Path: path, Text: "a build is asked for"}}
	}
	if old == nil {
		return []Reason{{Path: path, Text: "the image was not built from this stack file"}}
	}
	if want.isBuiltFrom(old, true) {
		return []Reason{{Path: path, Text: "a build is asked for, and what it takes from elsewhere may have changed"}}
	}
	var rs []Reason
	for _, k := range slices.Sorted(maps.Keys(difference.Merged(old.Other, want.Other))) {
		if old.Other[k] != want.Other[k] {
			rs = append(rs, Reason{Path: path + "." + k, Text: "its build changed: " + k})
		}
	}
	if files := want.changedFiles(old); len(files) > 0 {
		rs = append(rs, Reason{Path: path + ".context", Text: "its build context changed (" + difference.Listed(files) + ")"})
	}
	for _, k := range slices.Sorted(maps.Keys(difference.Merged(old.Given, want.Given))) {
		switch {
		case old.Given[k] == want.Given[k]:
		case want.Given[k] == "":
			rs = append(rs, Reason{Path: path + ".args", Text: "it was built with " + difference.Option(k)})
		default:
			rs = append(rs, Reason{Path: path + ".args", Text: difference.Option(k) + " is another"})
		}
	}
	if len(rs) == 0 {
		rs = append(rs, Reason{Path: path + ".context", Text: "its build context changed"})
	}
	return rs
}
