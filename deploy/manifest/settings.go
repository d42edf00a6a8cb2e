package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/orlop/orlop/spec"
)

// settingsKey is the extension that says of a service or volume what the Compose Specification
// has no words for.
const settingsKey = "x-orlop"

// settings are x-orlop of a service, a job or a volume.
type settings struct {
	Kind           string   // of the workload; "" is what the service needs
	Publish        string   // of its ports; "": the command's
	Expose         []string // HOST or HOST/PATH that lead to the service
	ExposePort     int      // that they lead to; 0: its first one
	Class          string   // of the Ingress
	TLS            string   // the Secret with its certificate
	Gateway        string   // NAME or NAMESPACE/NAME: routes there, in place of an Ingress
	ServiceAccount string
	Liveness       bool // an unhealthy container is restarted
	NodeSelector   map[string]string
	Storage        storage
}

// storage is x-orlop.storage of a volume.
type storage struct {
	Size, Class, Access string
}

// Workloads that x-orlop.kind may name.
const (
	kindDeployment  = "deployment"
	kindStatefulSet = "statefulset"
	kindDaemonSet   = "daemonset"
	kindJob         = "job"
)

// Modes of access of a volume.
const (
	accessOnce = "ReadWriteOnce"
	accessMany = "ReadWriteMany"
)

const defaultSize = "1Gi" // of a volume that does not say it

// readSettings reads x-orlop everywhere, with its mistakes.
func (b *build) readSettings() {
	for name, s := range b.project.Services {
		b.serviceSettings("services."+name, s)
	}
	for name, s := range b.project.Jobs {
		b.serviceSettings("jobs."+name, s)
	}
	for name, v := range b.project.Volumes {
		b.volumeSettings("volumes."+name, v.Extensions[settingsKey])
	}
}

// reader reads one x-orlop.
type reader struct {
	*build
	path  string
	found map[string]any
	known []string
}

func (b *build) reader(path string, value any) *reader {
	path += "." + settingsKey
	found, is := value.(map[string]any)
	if value != nil && !is {
		b.refuse(path, settingsKey+" is a mapping", "")
	}
	return &reader{build: b, path: path, found: found}
}

func (r *reader) value(key string) (any, string, bool) {
	r.known = append(r.known, key)
	v, ok := r.found[key]
	return v, r.path + "." + key, ok
}

func (r *reader) text(key string, choices ...string) string {
	v, at, ok := r.value(key)
	if !ok {
		return ""
	}
	s, is := v.(string)
	switch {
	case !is || s == "":
		r.refuse(at, "it is a text", "")
	case len(choices) > 0 && !slices.Contains(choices, s):
		r.refuse(at, fmt.Sprintf("%q is none of %s", s, strings.Join(choices, ", ")), spec.DidYouMean(s, choices))
	}
	return s
}

func (r *reader) texts(key string) []string {
	v, at, ok := r.value(key)
	if !ok {
		return nil
	}
	if s, is := v.(string); is {
		return []string{s}
	}
	list, is := v.([]any)
	var out []string
	for _, item := range list {
		s, isText := item.(string)
		is = is && isText
		out = append(out, s)
	}
	if !is {
		r.refuse(at, "it is a text or a list of them", "")
	}
	return out
}

func (r *reader) truth(key string, otherwise bool) bool {
	v, at, ok := r.value(key)
	if !ok {
		return otherwise
	}
	switch on := v.(type) {
	case bool:
		return on
	case string:
		if flag, known := spec.ParseFlag(on); known {
			return flag == "true"
		}
	}
	r.refuse(at, "it is true or false", "")
	return otherwise
}

func (r *reader) number(key string) int {
	v, at, ok := r.value(key)
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(fmt.Sprint(v))
	if err != nil || n < 0 {
		r.refuse(at, "it is a number", "")
	}
	return n
}

func (r *reader) pairs(key string) map[string]string {
	v, at, ok := r.value(key)
	if !ok {
		return nil
	}
	m, is := v.(map[string]any)
	if !is {
		r.refuse(at, "it is a mapping", "")
	}
	out := map[string]string{}
	for k, v := range m {
		out[k] = fmt.Sprint(v)
	}
	return out
}

// object is the name of an object that is there.
func (r *reader) object(key string) string {
	name := r.text(key)
	if name != "" && !isSubdomain(name) {
		r.refuse(r.path+"."+key, fmt.Sprintf("%q can't be a name on Kubernetes", spec.Shorten(name)), "use small letters, digits and \"-\"")
	}
	return name
}

// labels are labels of nodes.
func (r *reader) labels(key string) map[string]string {
	pairs := r.pairs(key)
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		if !isQualified(name) || !isLabelValue(pairs[name]) {
			r.refuse(r.path+"."+key+"."+name, fmt.Sprintf("%q can't be a label on Kubernetes", name+"="+pairs[name]), "kubectl get nodes --show-labels lists those that there are")
		}
	}
	return pairs
}

// idle warns of keys that say nothing without another one.
func (r *reader) idle(without string, keys ...string) {
	for _, key := range keys {
		if r.found[key] != nil {
			r.warn(r.path+"."+key, "it has no effect "+without, "")
		}
	}
}

// end refuses the keys that nobody asked for.
func (r *reader) end() {
	for _, key := range slices.Sorted(maps.Keys(r.found)) {
		if !slices.Contains(r.known, key) {
			r.refuse(r.path+"."+key, fmt.Sprintf("unknown key %q", key), spec.DidYouMean(key, r.known))
		}
	}
}

func (b *build) serviceSettings(path string, of *spec.Service) {
	r := b.reader(path, of.Extensions[settingsKey])
	s := &settings{
		Kind:    r.text("kind", kindDeployment, kindStatefulSet, kindDaemonSet, kindJob),
		Publish: r.text("publish", Ways()...), Expose: r.texts("expose"), ExposePort: r.number("expose_port"),
		Class: r.object("ingress_class"), TLS: r.object("tls"), Gateway: r.text("gateway"),
		ServiceAccount: r.object("service_account"), Liveness: r.truth("liveness", true), NodeSelector: r.labels("node_selector"),
	}
	r.end()
	namespace, name, hasBoth := strings.Cut(s.Gateway, "/")
	if s.Gateway != "" && (!isSubdomain(namespace) || hasBoth && !isSubdomain(name)) {
		r.refuse(r.path+".gateway", fmt.Sprintf("%q is no Gateway", spec.Shorten(s.Gateway)), "write NAME or NAMESPACE/NAME")
	}
	switch {
	case strings.HasPrefix(path, "jobs."):
		r.idle("for a job with a schedule", "kind", "publish", "expose", "expose_port", "ingress_class", "tls", "gateway", "liveness")
	case len(s.Expose) == 0:
		r.idle("without expose", "expose_port", "ingress_class", "tls", "gateway")
	case s.Gateway != "":
		r.idle("beside gateway", "ingress_class", "tls")
	}
	if !strings.HasPrefix(path, "jobs.") && len(of.Ports) == 0 {
		r.idle("without ports", "publish")
	}
	if s.Kind == kindDaemonSet && of.Replicas() > 1 {
		r.warn(r.path+".kind", fmt.Sprintf("a daemonset has one pod on each node, and not %d of them", of.Replicas()), "")
	}
	b.settings[path] = s
}

func (b *build) volumeSettings(path string, value any) {
	r := b.reader(path, value)
	v, at, ok := r.value("storage")
	r.end()
	s := &settings{}
	switch of := v.(type) {
	case string:
		s.Storage.Size = of
	case map[string]any:
		in := &reader{build: b, path: at, found: of}
		s.Storage = storage{Size: in.text("size"), Class: in.object("class"), Access: in.text("access", accessOnce, "ReadWriteOncePod", "ReadOnlyMany", accessMany)}
		in.end()
	default:
		if ok {
			b.refuse(at, "it is a size, or a mapping with size, class and access", "")
		}
	}
	if s.Storage.Size == "" {
		s.Storage.Size = defaultSize
	} else if n, ok := spec.ParseBytes(strings.TrimSuffix(s.Storage.Size, "i")); !ok || n <= 0 {
		b.refuse(at+".size", fmt.Sprintf("%q is no size", spec.Shorten(s.Storage.Size)), "write a number with a unit: 10Gi")
	} else {
		s.Storage.Size = memory(spec.Bytes(n))
	}
	if s.Storage.Access == "" {
		s.Storage.Access = accessOnce
	}
	b.settings[path] = s
}
