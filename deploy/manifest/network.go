package manifest

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/orlop/orlop/spec"
)

// servicePorts are the ports of a service that are known: those that it publishes, and those of expose.
func servicePorts(s *spec.Service) []spec.Port {
	ports := slices.Clone(s.Ports)
	for _, e := range s.Expose {
		text, protocol, _ := strings.Cut(e, "/")
		from, to, isRange := strings.Cut(text, "-")
		first, err := strconv.Atoi(from)
		last := first
		if isRange {
			last, _ = strconv.Atoi(to)
		}
		for port := first; err == nil && port <= last; port++ {
			ports = append(ports, spec.Port{Target: port, Protocol: protocol})
		}
	}
	return ports
}

// portList are ports as Services have them, each target once.
func (w *workload) portList(ports []spec.Port, published bool) []any {
	var list []any
	seen, other := map[string]bool{}, map[int]bool{} // other: what is published beside the ports of nodes
	isOfNodes := func(n int) bool { return w.publish() == PublishNodePort && n >= 30000 && n <= 32767 }
	for _, p := range ports {
		if n, err := strconv.Atoi(p.Published); published && err == nil && !isOfNodes(n) {
			other[n] = true
		}
	}
	for _, p := range ports {
		protocol := strings.ToUpper(p.Protocol)
		if protocol == "" {
			protocol = "TCP"
		}
		number := p.Target
		entry := map[string]any{"targetPort": int64(p.Target), "protocol": protocol}
		if published {
			n, err := strconv.Atoi(p.Published)
			switch {
			case err == nil && isOfNodes(n):
				entry["nodePort"] = int64(n)
				if other[number] || seen[protocol+strconv.Itoa(number)] {
					number = n // the target's is of another port already
				}
			case err == nil:
				number = n
			}
		}
		if seen[protocol+strconv.Itoa(number)] {
			continue
		}
		seen[protocol+strconv.Itoa(number)] = true
		entry["name"], entry["port"] = strings.ToLower(protocol)+"-"+strconv.Itoa(number), int64(number)
		if isQualified(p.AppProtocol) { // another one is a note for who reads the file
			entry["appProtocol"] = p.AppProtocol
		}
		list = append(list, entry)
	}
	return list
}

// publish is how the service's ports are reached from outside of the cluster.
func (w *workload) publish() string {
	switch {
	case w.own.Publish != "":
		return w.own.Publish
	case w.opts.Publish != "":
		return w.opts.Publish
	}
	return PublishNone
}

// services makes the names that others reach the service by, and what publishes its ports. A service
// whose ports are known has an address of its own that stays; one without has those of its pods, so that all
// ports can be reached, as on one machine.
func (w *workload) services() []*Object {
	if !w.hasNames() {
		return nil
	}
	ports := w.portList(servicePorts(w.service), false)
	var out []*Object
	for i, name := range append([]string{w.names[w.name]}, w.aliases()...) {
		body := map[string]any{"selector": w.selector(w.name)}
		if len(ports) > 0 {
			body["ports"] = ports
		}
		if d := w.service.Deploy; len(ports) == 0 || d != nil && d.EndpointMode == "dnsrr" {
			body["clusterIP"] = "None"
		}
		if i > 0 && w.isShared(name) {
			if o := w.sharedName(name); o != nil {
				out = append(out, o)
			}
			continue
		}
		out = append(out, w.object(Service, name, w.name, map[string]any{"spec": body}))
	}
	var published []spec.Port
	for i, p := range w.service.Ports {
		at := fmt.Sprintf("%s.ports[%d]", w.path, i)
		switch {
		case p.Published == "" && w.publish() == PublishNone:
			continue
		case isLoopback(p.HostIP):
			w.warn(at, fmt.Sprintf("%s is published on %s alone, which no node has for others: it can be reached in the cluster", p.Published, p.HostIP), "kubectl port-forward leads there from this machine")
			continue
		case w.publish() == PublishNone:
			w.warn(at, "it can be reached in the cluster alone, by the service's name and the container's port",
				"--publish nodeport or loadbalancer opens it, x-orlop: {publish: ...} for one service; x-orlop: {expose: HOST/PATH} routes HTTP")
			continue
		case p.HostIP != "" && !net.ParseIP(p.HostIP).IsUnspecified():
			w.warn(at, fmt.Sprintf("it is published for all who reach the nodes or the load balancer, not on %s alone", p.HostIP), "")
		case strings.Contains(p.Published, "-"):
			w.warn(at, "Kubernetes takes no port out of a range: the target's number is used", "")
		}
		published = append(published, p)
	}
	if len(published) > 0 {
		kind := map[string]string{PublishNodePort: "NodePort", PublishLoadBalancer: "LoadBalancer"}[w.publish()]
		body := map[string]any{"selector": w.selector(w.name), "type": kind, "ports": w.portList(published, true)}
		out = append(out, w.object(Service, suffixed(w.names[w.name], "-published"), w.name, map[string]any{"spec": body}))
	}
	return out
}

func isLoopback(ip string) bool {
	parsed := net.ParseIP(ip)
	return parsed != nil && parsed.IsLoopback()
}

// aliases are the further names that others reach the service by: those of its networks, of its container, and
// those that links give it.
func (w *workload) aliases() []string {
	var list []string
	add := func(at, name string) {
		own := DNSName(name)
		switch {
		case own == "" || own[0] >= '0' && own[0] <= '9' || own != name:
			w.warn(at, fmt.Sprintf("%q can't be the name of a Service", name), "others reach it as "+w.names[w.name])
		case slices.Contains(list, own) || own == w.names[w.name]:
		case w.project.Services[own] != nil:
			if !strings.Contains(at, ".links[") { // see callNames
				w.warn(at, fmt.Sprintf("%q is another service's name, and leads to that one alone on Kubernetes", own), "")
			}
		default:
			list = append(list, own)
		}
	}
	if w.service.ContainerName != "" {
		add(w.path+".container_name", w.service.ContainerName)
	}
	for _, key := range slices.Sorted(maps.Keys(w.service.Networks)) {
		n := w.service.Networks[key]
		if n == nil {
			continue
		}
		at := w.path + ".networks." + key
		for i, alias := range n.Aliases {
			add(fmt.Sprintf("%s.aliases[%d]", at, i), alias)
		}
		if n.IPv4Address != "" || n.IPv6Address != "" || n.MacAddress != "" || len(n.LinkLocalIPs) > 0 {
			w.warn(at, "pods have no fixed addresses on Kubernetes", "reach it as "+w.names[w.name])
		}
		if n.InterfaceName != "" || len(n.DriverOpts) > 0 {
			w.warn(at, "a pod has one interface for all networks, which is the cluster's: interface_name and driver_opts are left out", "")
		}
		if n.UseServiceNameAlias != nil && !*n.UseServiceNameAlias {
			w.warn(at+".use_service_name_alias", "the name of a service leads to it from all its networks", "")
		}
	}
	for _, other := range slices.Sorted(maps.Keys(w.project.Services)) {
		for i, link := range w.project.Services[other].Links {
			if target, alias := spec.CutLink(link); target == w.name && alias != "" && alias != target {
				add(fmt.Sprintf("services.%s.links[%d]", other, i), alias)
			}
		}
	}
	slices.Sort(list)
	return list
}

// routes lead requests for a host to the service: an Ingress, or routes of a Gateway.
func (w *workload) routes() []*Object {
	if len(w.own.Expose) == 0 {
		return nil
	}
	at := w.path + "." + settingsKey + ".expose"
	port := w.own.ExposePort
	if ports := servicePorts(w.service); port == 0 && len(ports) > 0 {
		port = ports[0].Target
	}
	if port == 0 {
		w.refuse(at, "which port it leads to is not known", "write ports: or expose:, or expose_port: beside it")
		return nil
	}
	if !slices.ContainsFunc(servicePorts(w.service), func(p spec.Port) bool { return p.Target == port }) {
		w.refuse(w.path+"."+settingsKey+".expose_port", fmt.Sprintf("%d is none of the service's ports", port), "add it to expose:")
		return nil
	}
	var rules, hosts, matches []any
	for _, text := range w.own.Expose {
		host, path, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(text, "https://"), "http://"), "/")
		host, path = strings.ToLower(host), "/"+path
		if !isSubdomain(strings.TrimPrefix(host, "*.")) || net.ParseIP(host) != nil {
			w.refuse(at, fmt.Sprintf("%q has no host that requests could be routed by", spec.Shorten(text)), "write HOST or HOST/PATH, without a port")
			continue
		}
		backend := map[string]any{"service": map[string]any{"name": w.names[w.name], "port": map[string]any{"number": int64(port)}}}
		rules = append(rules, map[string]any{"host": host, "http": map[string]any{"paths": []any{map[string]any{"path": path, "pathType": "Prefix", "backend": backend}}}})
		if !slices.Contains(hosts, any(host)) {
			hosts = append(hosts, host)
		}
		matches = append(matches, map[string]any{"path": map[string]any{"type": "PathPrefix", "value": path}})
	}
	if w.own.Gateway != "" {
		parent := map[string]any{"name": w.own.Gateway}
		if namespace, name, has := strings.Cut(w.own.Gateway, "/"); has {
			parent = map[string]any{"name": name, "namespace": namespace}
		}
		return []*Object{w.object(HTTPRoute, w.names[w.name], w.name, map[string]any{"spec": map[string]any{
			"parentRefs": []any{parent}, "hostnames": hosts,
			"rules": []any{map[string]any{"matches": matches, "backendRefs": []any{map[string]any{"name": w.names[w.name], "port": int64(port)}}}},
		}})}
	}
	body := map[string]any{"rules": rules}
	if w.own.Class != "" {
		body["ingressClassName"] = w.own.Class
	}
	if w.own.TLS != "" {
		body["tls"] = []any{map[string]any{"hosts": hosts, "secretName": w.own.TLS}}
	}
	return []*Object{w.object(Ingress, w.names[w.name], w.name, map[string]any{"spec": body})}
}

// podNetwork are the pod's names, and whom it asks for names.
func (w *workload) podNetwork(pod map[string]any) {
	s := w.service
	switch mode := s.NetworkMode; {
	case mode == "host":
		pod["hostNetwork"], pod["dnsPolicy"] = true, "ClusterFirstWithHostNet"
	case strings.HasPrefix(mode, "service:"), strings.HasPrefix(mode, "container:"):
		w.refuse(w.path+".network_mode", "a service can't share another's network on Kubernetes, where each has pods of its own", "reach it by its name")
	}
	if s.Hostname != "" {
		if name := DNSName(s.Hostname); name == s.Hostname {
			pod["hostname"] = name
		} else {
			w.warn(w.path+".hostname", fmt.Sprintf("%q can't be a host name on Kubernetes", s.Hostname), "the pod's name is used")
		}
	}
	if s.Domainname != "" {
		w.warn(w.path+".domainname", "the domain of a pod is the cluster's", "")
	}
	byAddress := map[string][]any{}
	for _, entry := range s.ExtraHosts {
		name, address, _ := strings.Cut(entry, "=")
		if address == "host-gateway" {
			w.refuse(w.path+".extra_hosts", "host-gateway is an address of one machine", "reach what runs there by its name or address")
			continue
		}
		if name = strings.ToLower(name); !isSubdomain(name) {
			w.refuse(w.path+".extra_hosts", fmt.Sprintf("%q can't be a host name on Kubernetes", name), "use letters, digits, \"-\" and \".\"")
			continue
		}
		byAddress[address] = append(byAddress[address], name)
	}
	var hosts []any
	for _, address := range slices.Sorted(maps.Keys(byAddress)) {
		hosts = append(hosts, map[string]any{"ip": address, "hostnames": byAddress[address]})
	}
	if len(hosts) > 0 {
		pod["hostAliases"] = hosts
	}
	dns := map[string]any{}
	if len(s.DNS) > 0 {
		dns["nameservers"] = anyList(s.DNS)
		w.warn(w.path+".dns", "the cluster is asked for names first, and these where it does not answer at all", "have the cluster's own DNS ask them for their names")
	}
	const most = 3 // a resolver's
	if len(s.DNS) > most {
		w.refuse(w.path+".dns", fmt.Sprintf("a pod asks %d addresses for names at most", most), "")
	}
	if len(s.DNSSearch) > 0 {
		dns["searches"] = anyList(s.DNSSearch)
	}
	var options []any
	for _, o := range s.DNSOpt {
		name, value, has := strings.Cut(o, ":")
		entry := map[string]any{"name": name}
		if has {
			entry["value"] = value
		}
		options = append(options, entry)
	}
	if len(options) > 0 {
		dns["options"] = options
	}
	if len(dns) > 0 {
		pod["dnsConfig"] = dns
	}
}

// networkLabels mark the pods by the networks that they are on, and by the names that they share with other services.
func (w *workload) networkLabels() map[string]string {
	labels := map[string]string{}
	for key := range w.service.Networks {
		if n := w.project.Networks[key]; n != nil {
			labels[networkLabel(n)] = joined
		}
	}
	if w.path == "services."+w.name && w.hasNames() {
		for _, alias := range w.aliases() {
			if w.isShared(alias) {
				labels[aliasLabel(alias)] = joined
			}
		}
	}
	return labels
}

func networkLabel(n *spec.Network) string {
	const kind = len("network.")
	return LabelNetwork + shortened(DNSName(n.Name), maxName-kind)
}

// networks makes policies that keep networks apart as on one machine: a pod is reached by those that are on a
// network with it, and, see policies, at the ports that it publishes or exposes by all. From internal networks
// nobody leads out.
func (b *build) networks() {
	for _, key := range slices.Sorted(maps.Keys(b.project.Networks)) {
		n, at := b.project.Networks[key], "networks."+key
		if !b.isJoined(key) {
			continue
		}
		if n.Driver == "host" || n.Driver == "none" || n.Driver == "macvlan" || n.Driver == "ipvlan" {
			b.refuse(at+".driver", fmt.Sprintf("a network of driver %s is one of a machine", n.Driver), "leave driver: away: the cluster's network is used")
			continue
		}
		if n.IPAM != nil && len(n.IPAM.Config) > 0 {
			b.warn(at+".ipam", "addresses are the cluster's on Kubernetes", "")
		}
		if n.HasIPv6() || n.EnableIPv4 != nil && !*n.EnableIPv4 {
			b.warn(at, "which kinds of addresses pods have is the cluster's matter", "")
		}
		if len(n.DriverOpts) > 0 {
			b.warn(at+".driver_opts", "links are the cluster's on Kubernetes: left out", "")
		}
		others := map[string]any{"podSelector": map[string]any{"matchLabels": map[string]any{networkLabel(n): joined}}}
		if n.External {
			others["namespaceSelector"] = map[string]any{}
		}
		body := map[string]any{
			"podSelector": map[string]any{"matchLabels": map[string]any{LabelProject: LabelValue(b.project.Name), networkLabel(n): joined}},
			"policyTypes": []any{"Ingress"}, "ingress": []any{map[string]any{"from": []any{others}}},
		}
		o := b.object(NetworkPolicy, b.fullName(b.project.Name+"-"+key, at), "", map[string]any{"spec": body})
		b.describe(o, at+".labels", n.Labels)
		r := &Resource{Kind: OfNetwork, Key: key, Objects: []*Object{o}}
		if n.Internal {
			r.Objects = append(r.Objects, b.inside(key, n, others))
		}
		b.set.Resources = append(b.set.Resources, r)
	}
}

// inside keeps those that are on internal networks alone from leading out. Names are asked of the cluster, and
// gates ask its API server, wherever those are.
func (b *build) inside(key string, n *spec.Network, others map[string]any) *Object {
	port := func(n int64, protocol string) map[string]any { return map[string]any{"port": n, "protocol": protocol} }
	egress := []any{
		map[string]any{"to": []any{others}},
		map[string]any{"ports": []any{port(53, "UDP"), port(53, "TCP")}},
	}
	if b.opts.Gate != "" {
		egress = append(egress, map[string]any{"ports": []any{port(443, "TCP"), port(6443, "TCP")}})
	}
	selector := map[string]any{"matchLabels": map[string]any{LabelProject: LabelValue(b.project.Name), networkLabel(n): joined}}
	var outside []any
	for _, other := range slices.Sorted(maps.Keys(b.project.Networks)) {
		if o := b.project.Networks[other]; !o.Internal && b.isJoined(other) {
			outside = append(outside, map[string]any{"key": networkLabel(o), "operator": "DoesNotExist"})
		}
	}
	if len(outside) > 0 {
		selector["matchExpressions"] = outside
	}
	return b.object(NetworkPolicy, suffixed(b.project.Name+"-"+key, "-internal"), "", map[string]any{"spec": map[string]any{
		"podSelector": selector, "policyTypes": []any{"Egress"}, "egress": egress,
	}})
}

func (b *build) isJoined(key string) bool {
	on := func(s *spec.Service) bool {
		_, is := s.Networks[key]
		return is
	}
	return slices.ContainsFunc(slices.Collect(maps.Values(b.project.Services)), on) ||
		slices.ContainsFunc(b.project.Scheduled(), func(name string) bool { return on(b.project.Jobs[name]) })
}

// policies let all reach the ports that a service publishes or exposes, and nobody a service without a network.
func (w *workload) policies() []*Object {
	var ports []any
	open := func(target int, protocol string) {
		entry := map[string]any{"port": int64(target), "protocol": strings.ToUpper(protocol)}
		if protocol == "" {
			entry["protocol"] = "TCP"
		}
		if !slices.ContainsFunc(ports, func(p any) bool { return hash(p) == hash(entry) }) {
			ports = append(ports, entry)
		}
	}
	for _, p := range w.service.Ports {
		if !isLoopback(p.HostIP) { // also where they can be reached in the cluster alone
			open(p.Target, p.Protocol)
		}
	}
	if len(w.own.Expose) > 0 {
		port := w.own.ExposePort
		if list := servicePorts(w.service); port == 0 && len(list) > 0 {
			port = list[0].Target
		}
		if port > 0 {
			open(port, spec.ProtocolTCP)
		}
	}
	body := map[string]any{"podSelector": map[string]any{"matchLabels": w.selector(w.name)}}
	switch {
	case w.service.NetworkMode == "none":
		body["policyTypes"] = []any{"Ingress", "Egress"}
		return []*Object{w.object(NetworkPolicy, suffixed(w.names[w.name], "-alone"), w.name, map[string]any{"spec": body})}
	case len(ports) > 0:
		body["policyTypes"], body["ingress"] = []any{"Ingress"}, []any{map[string]any{"ports": ports}}
		return []*Object{w.object(NetworkPolicy, suffixed(w.names[w.name], "-published"), w.name, map[string]any{"spec": body})}
	}
	return nil
}
