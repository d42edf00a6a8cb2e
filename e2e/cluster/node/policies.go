package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	cores "k8s.io/client-go/listers/core/v1"
	networks "k8s.io/client-go/listers/networking/v1"
)

// policies holds pods to the NetworkPolicies, by one table of nftables that is written anew when it must be another. The node itself
// reaches every pod, and every pod the node. Its argument is a kubeconfig.
func policies() error {
	if len(os.Args) != 2 {
		return errors.New("usage: policies KUBECONFIG")
	}
	client, err := connect(os.Args[1])
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	p := &policer{
		pods: factory.Core().V1().Pods().Lister(), namespaces: factory.Core().V1().Namespaces().Lister(), policies: factory.Networking().V1().NetworkPolicies().Lister(),
	}
	return work(context.Background(), factory, p.enforce,
		factory.Core().V1().Pods().Informer(), factory.Core().V1().Namespaces().Informer(), factory.Networking().V1().NetworkPolicies().Informer())
}

type policer struct {
	pods       cores.PodLister
	namespaces cores.NamespaceLister
	policies   networks.NetworkPolicyLister
	last       string // what nft was told
}

func (p *policer) enforce(ctx context.Context, _ any) error {
	rules, err := p.rules()
	if err != nil || rules == p.last {
		return err
	}
	c := exec.CommandContext(ctx, "nft", "-f", "-")
	c.Stdin = strings.NewReader(rules)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s\n%s", err, out, rules)
	}
	p.last = rules
	return nil
}

// rules is the whole table.
func (p *policer) rules() (string, error) {
	pods, err := p.sortedPods()
	if err != nil {
		return "", err
	}
	policies, err := p.policies.List(labels.Everything())
	if err != nil {
		return "", err
	}
	w := &strings.Builder{}
	fmt.Fprintln(w, "table inet policies {}\ndelete table inet policies\ntable inet policies {\nchain forward {\ntype filter hook forward priority 0; policy accept;\nct state established,related accept")
	chains := &strings.Builder{}
	for _, direction := range []networking.PolicyType{networking.PolicyTypeEgress, networking.PolicyTypeIngress} {
		for _, pod := range pods {
			if !hasAddress(pod) {
				continue
			}
			if rules, isHeld := p.rulesOf(pod, direction, policies); isHeld {
				chain := strings.ToLower(string(direction)) + "_" + strings.NewReplacer("-", "_", ".", "_").Replace(string(pod.UID))
				fmt.Fprintf(w, "ip %s %s jump %s\n", side(direction, true), pod.Status.PodIP, chain)
				fmt.Fprintf(chains, "chain %s {\n%sdrop\n}\n", chain, rules)
			}
		}
	}
	// Chains come first: a rule names only what there is.
	head, forward, _ := strings.Cut(w.String(), "chain forward {")
	return head + chains.String() + "chain forward {" + forward + "}\n}\n", nil
}

// sortedPods are all pods, in an order that stays the same.
func (p *policer) sortedPods() ([]*core.Pod, error) {
	pods, err := p.pods.List(labels.Everything())
	slices.SortFunc(pods, func(a, b *core.Pod) int { return strings.Compare(string(a.UID), string(b.UID)) })
	return pods, err
}

func hasAddress(pod *core.Pod) bool {
	return pod.Status.PodIP != "" && !pod.Spec.HostNetwork && pod.Status.Phase != core.PodSucceeded && pod.Status.Phase != core.PodFailed
}

// side is which end of a connection the pod is, or the other of its ends.
func side(direction networking.PolicyType, isPod bool) string {
	if (direction == networking.PolicyTypeEgress) == isPod {
		return "saddr"
	}
	return "daddr"
}

// rulesOf are the rules that let something through, and whether the pod is held to them at all.
func (p *policer) rulesOf(pod *core.Pod, direction networking.PolicyType, policies []*networking.NetworkPolicy) (string, bool) {
	w, isHeld := &strings.Builder{}, false
	for _, policy := range policies {
		if policy.Namespace != pod.Namespace || !selects(&policy.Spec.PodSelector, pod.Labels) || !hasType(policy, direction) {
			continue
		}
		isHeld = true
		if direction == networking.PolicyTypeIngress {
			for _, rule := range policy.Spec.Ingress {
				p.write(w, pod, policy.Namespace, direction, rule.From, rule.Ports)
			}
			continue
		}
		for _, rule := range policy.Spec.Egress {
			p.write(w, pod, policy.Namespace, direction, rule.To, rule.Ports)
		}
	}
	return w.String(), isHeld
}

func hasType(policy *networking.NetworkPolicy, direction networking.PolicyType) bool {
	return slices.Contains(policy.Spec.PolicyTypes, direction) // the API server fills them in
}

func selects(selector *meta.LabelSelector, of map[string]string) bool {
	s, err := meta.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(labels.Set(of))
}

// end is who a rule is about at the other end: what nft matches, and the pod that it is, if it is one.
type end struct {
	match string
	pod   *core.Pod
}

// write writes a rule of a policy: each of its peers at each of its ports.
func (p *policer) write(w *strings.Builder, pod *core.Pod, namespace string, direction networking.PolicyType, peers []networking.NetworkPolicyPeer, ports []networking.NetworkPolicyPort) {
	ends := []end{{}}
	if len(peers) > 0 {
		ends = nil
		for _, peer := range peers {
			ends = append(ends, p.ends(namespace, side(direction, false), peer)...)
		}
	}
	for _, e := range ends {
		serves := pod
		if direction == networking.PolicyTypeEgress {
			serves = e.pod
		}
		if len(ports) == 0 {
			fmt.Fprintf(w, "%s return\n", e.match)
		}
		for _, port := range ports {
			if match, ok := portMatch(port, serves); ok {
				fmt.Fprintf(w, "%s %s return\n", e.match, match)
			}
		}
	}
}

func (p *policer) ends(namespace, side string, peer networking.NetworkPolicyPeer) (ends []end) {
	if peer.IPBlock != nil {
		match := "ip " + side + " " + peer.IPBlock.CIDR
		if len(peer.IPBlock.Except) > 0 {
			match += " ip " + side + " != { " + strings.Join(peer.IPBlock.Except, ", ") + " }"
		}
		return []end{{match: match}}
	}
	pods, err := p.sortedPods()
	if err != nil {
		return nil
	}
	for _, pod := range pods {
		if !hasAddress(pod) || peer.PodSelector != nil && !selects(peer.PodSelector, pod.Labels) {
			continue
		}
		if peer.NamespaceSelector == nil {
			if pod.Namespace != namespace {
				continue
			}
		} else if n, err := p.namespaces.Get(pod.Namespace); err != nil || !selects(peer.NamespaceSelector, n.Labels) {
			continue
		}
		ends = append(ends, end{"ip " + side + " " + pod.Status.PodIP, pod})
	}
	return ends
}

// portMatch is what nft matches for a port, if the pod that serves has one of that name.
func portMatch(port networking.NetworkPolicyPort, serves *core.Pod) (string, bool) {
	protocol := "tcp"
	if port.Protocol != nil {
		protocol = strings.ToLower(string(*port.Protocol))
	}
	switch {
	case port.Port == nil:
		return "meta l4proto " + protocol, true
	case port.EndPort != nil:
		return fmt.Sprintf("%s dport %d-%d", protocol, port.Port.IntVal, *port.EndPort), true
	case port.Port.StrVal == "":
		return fmt.Sprintf("%s dport %d", protocol, port.Port.IntVal), true
	case serves == nil:
		return "", false
	}
	for _, c := range serves.Spec.Containers {
		for _, has := range c.Ports {
			if has.Name == port.Port.StrVal && strings.EqualFold(string(has.Protocol), protocol) {
				return fmt.Sprintf("%s dport %d", protocol, has.ContainerPort), true
			}
		}
	}
	return "", false
}
