// Package manifest makes the objects of Kubernetes that a project stands for: a pure function
// of the project and its images. It knows no cluster. What has no equal there is a diagnostic
// with its place.
package manifest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/orlop/orlop/spec"
)

// Options say what the stack file does not.
type Options struct {
	Images   map[string]string                // references by "services.NAME", "jobs.NAME" of their pre_start, "services.NAME.pre_start[0]", and of what they mount, see Mounted
	Checks   map[string]*spec.HealthCheck     // the health checks of images, by service, where they are known; nil: none is known yet, and none is missed
	Restarts map[string]int                   // by service: a number that is another for each time its pods are to be replaced
	Deadline int64                            // seconds that each pod of a rollout may take, as Kubernetes reports it; 0: its ten minutes, Forever: any number
	Publish  string                           // of services that do not say it themselves: PublishNone, PublishNodePort or PublishLoadBalancer
	Gate     string                           // the image that waits for dependencies; "": pods do not wait
	File     func(path string) (*File, error) // looks at what a service mounts of the caller's machine
}

// Forever is a Deadline that never comes: Kubernetes' own number for it.
const Forever = math.MaxInt32

// Ways of publishing a port outside of the cluster.
const (
	PublishNone         = "none"
	PublishNodePort     = "nodeport"
	PublishLoadBalancer = "loadbalancer"
)

// Ways are those that --publish and x-orlop.publish may name.
func Ways() []string { return []string{PublishNone, PublishNodePort, PublishLoadBalancer} }

// Set is all that a project wants of a cluster, in an order in which it may be applied.
type Set struct {
	Project   string
	Resources []*Resource
}

// Resource is what one step of a plan changes: the objects of a service, a volume, a network.
type Resource struct {
	Kind     string // one of the Of… constants
	Key      string // in the stack file: "web", "pgdata"
	Objects  []*Object
	Workload *Object                    // of a service or job: the one that has its pods
	Needs    map[string]spec.Dependency // of a service: services that must be as far before it is applied
	Rolls    string                     // of a service: how its pods are replaced, in words
	OneShot  bool                       // its pods run to completion
}

// Kinds of a Resource.
const (
	OfService = "service"
	OfJob     = "job" // with a schedule
	OfVolume  = "volume"
	OfNetwork = "network"
	OfConfig  = "config"
	OfSecret  = "secret"
	OfGate    = "gate" // what the pods that wait may see
)

// Name is the resource as users see it: a service by its name, others with their kind.
func (r *Resource) Name() string {
	switch r.Kind {
	case OfService:
		return r.Key
	case OfGate:
		return "access of gates"
	}
	return r.Kind + " " + r.Key
}

// Object is one object of Kubernetes. Body is all of it, as JSON has it: mappings, lists,
// strings, booleans, int64.
type Object struct {
	Kind Kind
	Name string
	Body map[string]any
}

// ID names an object within a namespace: "Deployment.apps/web".
func (o *Object) ID() string { return o.Kind.GroupKind() + "/" + o.Name }

// Hash is that of the object's content.
func (o *Object) Hash() string { return hash(o.Body) }

func hash(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("internal error: an object is no JSON: %v", err))
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Kind is a kind of object, as the API server knows it.
type Kind struct {
	Group, Version, Kind string
	Plural               string // in paths, in small letters
}

// APIVersion is what objects say: "apps/v1".
func (k Kind) APIVersion() string {
	if k.Group == "" {
		return k.Version
	}
	return k.Group + "/" + k.Version
}

// GroupKind is "Deployment.apps".
func (k Kind) GroupKind() string {
	if k.Group == "" {
		return k.Kind
	}
	return k.Kind + "." + k.Group
}

// The kinds that objects are of.
var (
	ConfigMap      = Kind{"", "v1", "ConfigMap", "configmaps"}
	Secret         = Kind{"", "v1", "Secret", "secrets"}
	Service        = Kind{"", "v1", "Service", "services"}
	ServiceAccount = Kind{"", "v1", "ServiceAccount", "serviceaccounts"}
	VolumeClaim    = Kind{"", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"}
	Deployment     = Kind{"apps", "v1", "Deployment", "deployments"}
	StatefulSet    = Kind{"apps", "v1", "StatefulSet", "statefulsets"}
	DaemonSet      = Kind{"apps", "v1", "DaemonSet", "daemonsets"}
	Job            = Kind{"batch", "v1", "Job", "jobs"}
	CronJob        = Kind{"batch", "v1", "CronJob", "cronjobs"}
	Ingress        = Kind{"networking.k8s.io", "v1", "Ingress", "ingresses"}
	NetworkPolicy  = Kind{"networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"}
	Role           = Kind{"rbac.authorization.k8s.io", "v1", "Role", "roles"}
	RoleBinding    = Kind{"rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"}
	HTTPRoute      = Kind{"gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"}
)

// Kinds are all kinds that objects may be of, in the order in which they are applied.
func Kinds() []Kind {
	return []Kind{ServiceAccount, Role, RoleBinding, ConfigMap, Secret, VolumeClaim, NetworkPolicy, Service, StatefulSet, Deployment, DaemonSet, Job, CronJob, Ingress, HTTPRoute}
}

// KindOf finds a kind by "Deployment.apps".
func KindOf(groupKind string) (Kind, bool) {
	for _, k := range Kinds() {
		if k.GroupKind() == groupKind {
			return k, true
		}
	}
	return Kind{}, false
}

// Labels of all objects, and of the pods.
const (
	LabelProject = "orlop.dev/project"
	LabelService = "orlop.dev/service"
	LabelNetwork = "orlop.dev/network." // and the network's name
	joined       = "joined"             // its value
	LabelPart    = "app.kubernetes.io/part-of"
	LabelName    = "app.kubernetes.io/name"
	LabelManager = "app.kubernetes.io/managed-by"
	noteRestart  = "orlop.dev/restarted" // of pods: by which revision they were replaced although nothing had changed
)

// Build makes the objects of a project. Diagnostics that are errors say what can't be deployed.
func Build(p *spec.Project, opts Options) (*Set, spec.Diagnostics) {
	b := &build{project: p, opts: opts, set: &Set{Project: p.Name}, names: map[string]string{}, full: map[string]string{}, settings: map[string]*settings{}, files: map[string]string{}, called: map[string][]string{}}
	if b.checkNames(); len(b.found.Errors()) > 0 { // what is called how is in all that follows
		return b.set, b.sorted()
	}
	b.readSettings()
	b.callNames()
	b.volumes()
	b.networks()
	var services []*Resource
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		services = append(services, b.service(name))
	}
	for _, name := range p.Scheduled() {
		services = append(services, b.scheduled(name)...)
	}
	b.gates()
	b.set.Resources = append(b.set.Resources, b.ordered(services)...)
	b.checkObjects()
	return b.set, b.sorted()
}

// checkObjects refuses two objects of one kind and name, unless they are the same.
func (b *build) checkObjects() {
	places := map[string]string{OfService: "services.", OfJob: "jobs.", OfVolume: "volumes.", OfNetwork: "networks.", OfConfig: "configs.", OfSecret: "secrets."}
	type made struct{ by, hash string }
	have := map[string]made{}
	for _, r := range b.set.Resources {
		for _, o := range r.Objects {
			is := made{places[r.Kind] + r.Key, o.Hash()}
			if first, has := have[o.ID()]; has && first.hash != is.hash {
				b.refuse(is.by, fmt.Sprintf("the %s %s would also be that of %s", o.Kind.Kind, o.Name, first.by), "rename one of them")
				continue
			}
			have[o.ID()] = is
		}
	}
}

// build is one call of Build.
type build struct {
	project  *spec.Project
	opts     Options
	set      *Set
	found    spec.Diagnostics
	names    map[string]string    // of services on the cluster, by those in the file
	full     map[string]string    // paths of what has a full name, by its kind and that name
	called   map[string][]string  // services, by the further names that they have
	settings map[string]*settings // x-orlop by "services.NAME" and "volumes.NAME"
	files    map[string]string    // names of ConfigMaps and Secrets that are in the set, by what they are of
	gated    bool                 // some pod waits
	gatedAs  []string             // accounts of such pods that have one of their own
}

func (b *build) sorted() spec.Diagnostics {
	slices.SortStableFunc(b.found, func(x, y spec.Diagnostic) int {
		return cmp.Or(cmp.Compare(x.Place.File, y.Place.File), cmp.Compare(x.Place.Line, y.Place.Line), cmp.Compare(x.Path, y.Path))
	})
	return b.found
}

// refuse says that something can't be deployed; warn, that it is left out.
func (b *build) refuse(path, message, hint string) { b.say(spec.Error, path, message, hint) }

func (b *build) warn(path, message, hint string) { b.say(spec.Warning, path, message, hint) }

func (b *build) say(severity spec.Severity, path, message, hint string) {
	d := spec.Diagnostic{Severity: severity, Path: path, Place: b.project.Places.Nearest(path), Message: message, Hint: hint}
	if isTold := func(o spec.Diagnostic) bool { return o == d }; !slices.ContainsFunc(b.found, isTold) && !b.isSaidOfService(d) {
		b.found = append(b.found, d)
	}
}

// ordered are services after those that they depend on.
func (b *build) ordered(services []*Resource) []*Resource {
	byKey := map[string]*Resource{}
	for _, r := range services {
		byKey[r.Key] = r
	}
	var out []*Resource
	seen := map[string]bool{}
	var add func(r *Resource)
	add = func(r *Resource) {
		if r == nil || seen[r.Key] {
			return
		}
		seen[r.Key] = true
		for _, other := range slices.Sorted(maps.Keys(r.Needs)) {
			add(byKey[other])
		}
		out = append(out, r)
	}
	for _, r := range services {
		add(r)
	}
	return out
}

// object makes an object with the labels that all have.
func (b *build) object(kind Kind, name, service string, more map[string]any) *Object {
	labels := b.labels(service)
	meta := map[string]any{"name": name, "labels": anyMap(labels)}
	body := map[string]any{"apiVersion": kind.APIVersion(), "kind": kind.Kind, "metadata": meta}
	maps.Copy(body, more)
	return &Object{Kind: kind, Name: name, Body: body}
}

func (b *build) labels(service string) map[string]string {
	labels := map[string]string{LabelProject: LabelValue(b.project.Name), LabelPart: LabelValue(b.project.Name), LabelManager: "orlop"}
	if service != "" {
		labels[LabelName], labels[LabelService] = b.names[service], b.names[service]
	}
	return labels
}

// selector chooses the pods of a service.
func (b *build) selector(service string) map[string]any {
	return map[string]any{LabelProject: LabelValue(b.project.Name), LabelService: b.names[service]}
}

func anyMap(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

func anyList(list []string) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}
