package firewall

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// host lets containers' packets pass the host's own iptables firewall.
// Docker sets the policy of FORWARD to DROP and ufw does too; a packet must
// pass every chain, so what our table accepts they would still drop. Three rules
// go to the head of that chain, and away with our last network:
//
//	-i or<ID>+ -j ACCEPT
//	-o or<ID>+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
//	-o or<ID>+ -m conntrack --ctstate DNAT -j ACCEPT
//
// and three more for each bridge whose name a stack file chose. So it is for ip6tables,
// where a network has IPv6.
//
// Our own table drops what must not pass, so nothing opens that was shut.
type host struct {
	family nftables.TableFamily // IPv4 or IPv6
	id     string
	prefix string // of the names of our links
	log    *slog.Logger
	warned bool
}

// hostTable is the table of iptables that has the chain FORWARD.
const hostTable = "filter"

// words are what nftables and iptables call things of a family.
type words struct{ family, program, legacy string }

func (h *host) words() words {
	if h.family == nftables.TableFamilyIPv6 {
		return words{"ip6", "ip6tables", "/proc/net/ip6_tables_names"}
	}
	return words{"ip", "iptables", "/proc/net/ip_tables_names"}
}

// comment tells our rules from others', and those of a bridge from the rest.
func (h *host) comment(bridge string) []byte {
	return userdata.AppendString(nil, userdata.TypeComment, strings.TrimSpace("orlop "+h.id+" "+bridge))
}

// publishedComment is that of the rule which lets published ports lead to a bridge.
func publishedComment(id, bridge string) []byte {
	return userdata.AppendString(nil, userdata.TypeComment, strings.TrimSpace("orlop "+id+" published: "+bridge))
}

// isOurs says that a rule is one of this engine's.
func (h *host) isOurs(r *nftables.Rule) bool {
	text, ok := userdata.GetString(r.UserData, userdata.TypeComment)
	return ok && (text == "orlop "+h.id || strings.HasPrefix(text, "orlop "+h.id+" "))
}

// isOpen says that the rules at the head of the chain are those for all links of ours
// and for the bridges, and there are no others of ours.
func (h *host) isOpen(rules []*nftables.Rule, bridges []string) bool {
	want := 3 * (1 + len(bridges))
	if len(rules) < want || len(h.ours(rules)) != want || len(h.ours(rules[:want])) != want {
		return false
	}
	for _, bridge := range append([]string{""}, bridges...) {
		for _, comment := range [][]byte{h.comment(bridge), publishedComment(h.id, bridge)} {
			if !slices.ContainsFunc(rules[:want], func(r *nftables.Rule) bool { return bytes.Equal(r.UserData, comment) }) {
				return false
			}
		}
	}
	return true
}

// open puts the rules in place where they are needed and absent. A host whose
// firewall cannot be read still works if that firewall is open: so failures
// are told, not returned.
func (h *host) open(bridges []string) {
	h.warnOthers()
	chain, rules, err := h.forwardChain()
	if err != nil {
		h.log.Warn("cannot look at the host's firewall; if it drops forwarded packets, containers have no way out", "error", err)
		return
	}
	if chain == nil || (len(rules) == 0 && (chain.Policy == nil || *chain.Policy == nftables.ChainPolicyAccept)) {
		return
	}
	if h.isOpen(rules, bridges) {
		return
	}
	err = h.replace(chain, h.ours(rules), bridges, true)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
		// A kernel without iptables' own matches (nft_compat, xt_conntrack).
		err = h.replace(chain, h.ours(rules), bridges, false)
	}
	if err != nil {
		h.log.Warn("cannot open the host's firewall for containers: they may have no way out",
			"fix", fmt.Sprintf("%s -I FORWARD -i %s+ -j ACCEPT", h.words().program, h.prefix), "error", err)
	}
}

// close takes the rules away.
func (h *host) close() error {
	chain, rules, err := h.forwardChain()
	if err != nil || chain == nil {
		return err
	}
	ours := h.ours(rules)
	if len(ours) == 0 {
		return nil
	}
	var c nftables.Conn
	for _, r := range ours {
		if err := c.DelRule(r); err != nil {
			return err
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("cannot take our rules out of the host's FORWARD chain: %w", err)
	}
	return nil
}

// forwardChain finds the FORWARD chain of iptables (its nftables variant), nil
// if there is none.
func (h *host) forwardChain() (*nftables.Chain, []*nftables.Rule, error) {
	var c nftables.Conn
	chains, err := c.ListChainsOfTableFamily(h.family)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot list the chains of the host's firewall: %w", err)
	}
	i := slices.IndexFunc(chains, func(ch *nftables.Chain) bool {
		return ch.Table.Name == hostTable && ch.Name == "FORWARD" && ch.Hooknum != nil
	})
	if i < 0 {
		return nil, nil, nil
	}
	chain := chains[i]
	rules, err := c.GetRules(chain.Table, chain)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the rules of %s filter FORWARD: %w", h.words().family, err)
	}
	return chain, rules, nil
}

func (h *host) ours(rules []*nftables.Rule) []*nftables.Rule {
	return slices.DeleteFunc(slices.Clone(rules), func(r *nftables.Rule) bool {
		return !h.isOurs(r)
	})
}

// replace puts our rules at the head of the chain in one transaction, in the
// form that iptables itself writes and lists, if it can be had.
func (h *host) replace(chain *nftables.Chain, old []*nftables.Rule, bridges []string, compat bool) error {
	var c nftables.Conn
	for _, r := range old {
		if err := c.DelRule(r); err != nil {
			return err
		}
	}
	state, published := established(), translated()
	if compat {
		const known, destination = 1<<1 | 1<<2, 1 << 7 // ESTABLISHED and RELATED, DNAT
		state, published = conntrack(known), conntrack(destination)
	}
	link := func(key expr.MetaKey, bridge string) []expr.Any {
		name := []byte(h.prefix) // the beginning of a name
		if bridge != "" {
			name = ifname(bridge)
		}
		return []expr.Any{
			&expr.Meta{Key: key, Register: unix.NFT_REG_1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: name},
		}
	}
	end := []expr.Any{&expr.Counter{}, verdict(expr.VerdictAccept)}
	// Inserted one after the other, the last comes first.
	for _, bridge := range append([]string{""}, bridges...) {
		insert := func(comment []byte, exprs ...[]expr.Any) {
			c.InsertRule(&nftables.Rule{Table: chain.Table, Chain: chain, Exprs: slices.Concat(exprs...), UserData: comment})
		}
		insert(publishedComment(h.id, bridge), link(expr.MetaKeyOIFNAME, bridge), published, end)
		insert(h.comment(bridge), link(expr.MetaKeyOIFNAME, bridge), state, end)
		insert(h.comment(bridge), link(expr.MetaKeyIIFNAME, bridge), end)
	}
	return c.Flush()
}

// conntrack matches states of connections as iptables does.
func conntrack(states uint16) []expr.Any {
	info := &xt.ConntrackMtinfo3{}
	info.MatchFlags = uint16(xt.ConntrackState)
	info.StateMask = states
	return []expr.Any{&expr.Match{Name: "conntrack", Rev: 3, Info: info}}
}

// warnOthers tells, once, of firewalls that are not ours to change: rules of
// iptables-legacy, which nftables does not reach, and chains of nftables that
// an administrator wrote.
func (h *host) warnOthers() {
	if h.warned {
		return
	}
	words := h.words()
	names, err := os.ReadFile(words.legacy)
	if err == nil && slices.Contains(strings.Fields(string(names)), "filter") {
		h.warned = true
		h.log.Warn("this machine filters with "+words.program+"-legacy; if its FORWARD chain drops, containers have no way out",
			"fix", fmt.Sprintf("%[2]s-legacy -I FORWARD -i %[1]s+ -j ACCEPT; %[2]s-legacy -I FORWARD -o %[1]s+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", h.prefix, words.program))
	}
	var c nftables.Conn
	chains, err := c.ListChains()
	if err != nil {
		return // forwardChain reports it
	}
	for _, ch := range chains {
		drops := ch.Policy != nil && *ch.Policy == nftables.ChainPolicyDrop &&
			ch.Hooknum != nil && *ch.Hooknum == *nftables.ChainHookForward
		family, known := map[nftables.TableFamily]string{nftables.TableFamilyINet: "inet", h.family: words.family}[ch.Table.Family]
		if !drops || !known || (ch.Table.Family == h.family && ch.Table.Name == hostTable && ch.Name == "FORWARD") {
			continue
		}
		h.warned = true
		at := fmt.Sprintf("%s %s %s", family, ch.Table.Name, ch.Name)
		h.log.Warn("a chain of this machine's firewall drops what is forwarded; containers may have no way out", "chain", at,
			"fix", fmt.Sprintf("nft insert rule %[1]s iifname '%[2]s*' accept; nft insert rule %[1]s oifname '%[2]s*' ct state established,related accept", at, h.prefix))
	}
}
