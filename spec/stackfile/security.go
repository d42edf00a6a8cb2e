package stackfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// Keys of Orlop's own: they are extensions, which Compose passes over.
const (
	ownKey        = "x-orlop"
	serviceOwnKey = "x-orlop-security"
)

// security gives services the profile that the stack, or each of them, asks for.
func (l *loader) security(p *spec.Project, root *tree.Node) {
	l.strangers(root, "", ownKey)
	whole := ""
	if own := root.Value(ownKey); own != nil {
		whole = l.ownSecurity(own)
	}
	if root.Value("services") == nil {
		return
	}
	for _, f := range root.Value("services").Fields {
		s, service, path := p.Services[f.Key], f.Value, "services."+f.Key
		if s == nil {
			continue
		}
		l.strangers(service, path+".", serviceOwnKey, ownKey)
		if inside := service.Value(ownKey).Value("security"); inside != nil {
			l.Fail(inside, path+"."+ownKey+".security", `unknown key "security"`, "a service has "+serviceOwnKey)
		}
		given := service.Value(serviceOwnKey)
		delete(s.Extensions, serviceOwnKey) // it has a field
		if given != nil {
			s.Security = l.profile(given, path+"."+serviceOwnKey)
		} else if whole == spec.SecurityHardened {
			s.Security = whole
		}
		if s.Security == spec.SecurityHardened && s.Privileged {
			l.Fail(service.Value("privileged"), path+".privileged", "a hardened service can't be privileged",
				"take one of both away: "+serviceOwnKey+": default opts a service out")
		}
		for i, n := range service.Value("pre_start").Entries() {
			if s.Security == spec.SecurityHardened && tree.TextAt(n, "privileged") == "true" && !s.Privileged {
				l.Fail(n.Value("privileged"), tree.Indexed(path+".pre_start", i)+".privileged", "a hardened service can't have privileged init containers",
					"take one of both away: "+serviceOwnKey+": default opts a service out")
			}
		}
	}
}

// ownSecurity is the profile at the top of the file.
func (l *loader) ownSecurity(own *tree.Node) string {
	if own.Kind != tree.MapNode {
		l.Fail(own, ownKey, ownKey+" is a mapping", "write security: hardened below it")
		return ""
	}
	profile := ""
	for _, f := range own.Fields {
		if f.Key != "security" {
			l.Fail(&tree.Node{At: f.At, Width: f.Width}, ownKey, fmt.Sprintf("unknown key %q", f.Key), spec.DidYouMean(f.Key, []string{"security"}))
			continue
		}
		profile = l.profile(f.Value, ownKey+".security")
	}
	return profile
}

func (l *loader) profile(n *tree.Node, path string) string {
	if n.Kind != tree.ScalarNode || n.Text != spec.SecurityDefault && n.Text != spec.SecurityHardened {
		l.Fail(n, path, fmt.Sprintf("%q is no profile", spec.Shorten(n.Text)), "write "+spec.SecurityHardened+" or "+spec.SecurityDefault)
		return ""
	}
	return n.Text
}

// strangers refuses keys that begin as Orlop's own and are none, or stand where
// they are none: a slip of the finger would leave a service without what it asks for.
func (l *loader) strangers(n *tree.Node, path string, own ...string) {
	if n == nil || n.Kind != tree.MapNode {
		return
	}
	for _, f := range n.Fields {
		if slices.Contains(own, f.Key) || !strings.HasPrefix(f.Key, ownKey) {
			continue
		}
		hint := spec.DidYouMean(f.Key, own)
		if f.Key == serviceOwnKey {
			hint = "at the top of the file it is " + ownKey + ": {security: ...}"
		}
		l.Fail(&tree.Node{At: f.At, Width: f.Width}, path+f.Key, fmt.Sprintf("unknown key %q", f.Key), hint)
	}
}
