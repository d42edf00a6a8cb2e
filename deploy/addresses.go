package deploy

import (
	"fmt"
	"net"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/deploy/fields"
	"github.com/orlop/orlop/deploy/manifest"
)

// Addresses are where a service is reached from outside of the cluster, as far as it says so.
func (o *Observed) Addresses(service string) []string {
	var out []string
	for _, id := range sortedKeys(o.Objects) {
		live := o.Objects[id]
		if live.GetLabels()[manifest.LabelService] != manifest.ServiceName(service) {
			continue
		}
		switch live.GetKind() {
		case manifest.Service.Kind:
			out = append(out, serviceAddresses(live)...)
		case manifest.Ingress.Kind:
			out = append(out, ingressAddresses(live)...)
		case manifest.HTTPRoute.Kind:
			out = append(out, routeAddresses(live)...)
		}
	}
	return out
}

// serviceAddresses are those of a Service that is published: the balancer's, which the cluster's own controller gives it, or ports of all nodes.
func serviceAddresses(live *cluster.Live) []string {
	kind := fields.At(live.Object, []string{"spec", "type"})
	if kind != "LoadBalancer" && kind != "NodePort" {
		return nil
	}
	key, hosts := "port", []string{"NODE"}
	if kind == "NodePort" {
		key = "nodePort"
	} else {
		hosts = nil
		list, _, _ := unstructured.NestedSlice(live.Object, "status", "loadBalancer", "ingress")
		for _, item := range list {
			for _, name := range []string{"ip", "hostname"} {
				if host, _ := fields.At(item, []string{name}).(string); host != "" {
					hosts = append(hosts, host)
				}
			}
		}
	}
	var out, ports []string
	list, _, _ := unstructured.NestedSlice(live.Object, "spec", "ports")
	for _, item := range list {
		n, is := fields.Number(fields.At(item, []string{key}))
		if !is {
			continue
		}
		port := fmt.Sprint(int(n))
		suffix := ""
		if protocol, _ := fields.At(item, []string{"protocol"}).(string); protocol != "" && protocol != "TCP" {
			suffix = "/" + strings.ToLower(protocol)
		}
		for _, host := range hosts {
			out = append(out, net.JoinHostPort(host, port)+suffix)
		}
		ports = append(ports, port+suffix)
	}
	if len(hosts) == 0 && len(ports) > 0 {
		return []string{"no address yet for " + strings.Join(ports, ", ")}
	}
	return out
}

func ingressAddresses(live *cluster.Live) []string {
	scheme := "http"
	if tls, _, _ := unstructured.NestedSlice(live.Object, "spec", "tls"); len(tls) > 0 {
		scheme = "https"
	}
	var out []string
	rules, _, _ := unstructured.NestedSlice(live.Object, "spec", "rules")
	for _, rule := range rules {
		host, _ := fields.At(rule, []string{"host"}).(string)
		paths, _ := fields.At(rule, []string{"http", "paths"}).([]any)
		for _, p := range paths {
			path, _ := fields.At(p, []string{"path"}).(string)
			out = append(out, scheme+"://"+host+path)
		}
	}
	return out
}

// routeAddresses are without a scheme, which the Gateway decides.
func routeAddresses(live *cluster.Live) []string {
	var out []string
	hosts, _, _ := unstructured.NestedStringSlice(live.Object, "spec", "hostnames")
	rules, _, _ := unstructured.NestedSlice(live.Object, "spec", "rules")
	for _, host := range hosts {
		for _, rule := range rules {
			matches, _ := fields.At(rule, []string{"matches"}).([]any)
			for _, m := range matches {
				path, _ := fields.At(m, []string{"path", "value"}).(string)
				out = append(out, host+path)
			}
		}
	}
	return out
}
