package builder

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// stepAttributes tell the frontend what the steps of a build run with. What a build
// does not say is not sent: BuildKit's caches go by all that is.
func stepAttributes(a map[string]string, req Request) {
	b := req.Build
	if req.Options.NoCache || b.NoCache {
		a["no-cache"] = ""
	} else if len(b.NoCacheFilter) > 0 {
		a["no-cache"] = strings.Join(b.NoCacheFilter, ",")
	}
	if len(req.Platforms) > 0 {
		a["platform"] = strings.Join(req.Platforms, ",")
	}
	if b.Network == spec.BuildNetworkHost || b.Network == spec.BuildNetworkNone {
		a["force-network-mode"] = b.Network
	}
	if len(b.ExtraHosts) > 0 {
		a["add-hosts"] = strings.Join(hosts(b), ",")
	}
	if b.ShmSize > 0 {
		a["shm-size"] = strconv.FormatInt(int64(b.ShmSize), 10)
	}
	for key, value := range map[string]string{"attest:provenance": b.Provenance, "attest:sbom": b.SBOM} {
		if on, options := attestation(value); on {
			a[key] = options
		}
	}
	if len(b.Ulimits) > 0 {
		a["ulimit"] = strings.Join(ulimits(b), ",")
	}
}

// hosts are the extra hosts, as NAME=ADDRESS.
func hosts(b *spec.Build) []string {
	var list []string
	for _, entry := range b.ExtraHosts {
		name, address, _ := strings.Cut(entry, "=")
		if address == spec.HostGateway {
			address = spec.GatewayStandIn
			if b.Network == spec.BuildNetworkHost {
				address = "127.0.0.1"
			}
		}
		list = append(list, name+"="+address)
	}
	return list
}

// ulimits are the resource limits, as NAME=SOFT:HARD.
func ulimits(b *spec.Build) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(b.Ulimits)) {
		u := b.Ulimits[name]
		soft, hard := u.Soft, u.Hard
		if u.Single != 0 {
			soft, hard = u.Single, u.Single
		}
		list = append(list, fmt.Sprintf("%s=%d:%d", name, soft, hard))
	}
	return list
}

// names are the names that the image is to have: its own, and its tags.
func names(req Request) []string {
	list := []string{req.Tag}
	for _, tag := range req.Build.Tags {
		named, err := reference.ParseDockerRef(tag)
		if err == nil && !slices.Contains(list, named.String()) {
			list = append(list, named.String())
		}
	}
	return list
}

// stepInputs notes in a fingerprint what the steps run with, and what becomes of
// the image. What a build does not say is not there: its fingerprint is the one
// that an earlier engine has noted.
func stepInputs(in *planner.Inputs, s *spec.Service) {
	b := s.Build
	note := func(key, value string) {
		if value != "" {
			in.Other[key] = value
		}
	}
	note("network", b.Network)
	note("extra_hosts", strings.Join(b.ExtraHosts, ","))
	note("ulimits", strings.Join(ulimits(b), ","))
	note("cache_from", strings.Join(b.CacheFrom, " "))
	note("cache_to", strings.Join(b.CacheTo, " "))
	for id, path := range b.SSH {
		in.Other["ssh."+id] = "agent"
		if path != nil {
			in.Other["ssh."+id] = *path
		}
	}
	note("provenance", b.Provenance)
	note("sbom", b.SBOM)
	note("platforms", strings.Join(s.BuiltFor(), ","))
	note("tags", strings.Join(b.Tags, ","))
	note("no_cache_filter", strings.Join(b.NoCacheFilter, ","))
	note("entitlements", strings.Join(b.Entitlements, ","))
	if b.Privileged {
		note("privileged", "true")
	}
	if b.ShmSize > 0 {
		note("shm_size", strconv.FormatInt(int64(b.ShmSize), 10))
	}
}
