package manifest

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/orlop/orlop/spec"
)

// workload is a service or job on its way to be objects.
type workload struct {
	*build
	name    string // in the file
	path    string // "services.web"
	service *spec.Service
	own     *settings

	podVolumes      []any
	containerMounts []any
	taken           map[string]bool   // names of podVolumes
	sources         map[string]string // hash of a volume's source -> its name
	files           []*Object         // ConfigMaps of bind mounts
	hasVolume       bool              // a named one
}

func (b *build) workload(path, name string, s *spec.Service) *workload {
	return &workload{build: b, name: name, path: path, service: s, own: b.settings[path], taken: map[string]bool{gateToken: true}, sources: map[string]string{}}
}

// service makes the objects of a service.
func (b *build) service(name string) *Resource {
	s := b.project.Services[name]
	w := b.workload("services."+name, name, s)
	w.complain()
	r := &Resource{Kind: OfService, Key: name, Needs: w.needs()}
	pod := w.pod()
	kind := w.kind()
	r.OneShot = kind == Job
	meta := w.podMeta()
	template := map[string]any{"metadata": meta, "spec": pod}
	r.Objects = append(r.Objects, w.files...)
	r.Objects = append(r.Objects, w.policies()...)
	r.Objects = append(r.Objects, w.services()...)
	o := w.object(kind, b.names[name], name, nil)
	if kind == StatefulSet {
		o = w.object(kind, shortened(b.names[name], maxRevised), name, nil)
	}
	switch kind {
	case Deployment:
		o.Body["spec"], r.Rolls = w.deployment(template)
	case StatefulSet:
		o.Body["spec"], r.Rolls = w.statefulSet(template)
	case DaemonSet:
		o.Body["spec"], r.Rolls = w.daemonSet(template)
	case Job:
		jobSpec := w.job(template)
		o = w.object(kind, contentName(b.names[name], jobSpec), name, nil)
		o.Body["spec"], r.Rolls = jobSpec, "a new job"
	}
	notes := maps.Clone(s.Annotations)
	if s.Deploy != nil && len(s.Deploy.Labels) > 0 {
		if notes == nil {
			notes = map[string]string{}
		}
		maps.Copy(notes, s.Deploy.Labels)
	}
	b.describe(o, w.path+".annotations", notes)
	r.Workload = o
	r.Objects = append(r.Objects, o)
	r.Objects = append(r.Objects, w.routes()...)
	return r
}

// kind is that of the object that has the service's pods.
func (w *workload) kind() Kind {
	kind := Deployment
	switch {
	case w.own.Kind != "":
		kind = map[string]Kind{kindDeployment: Deployment, kindStatefulSet: StatefulSet, kindDaemonSet: DaemonSet, kindJob: Job}[w.own.Kind]
	case w.service.IsJob() || w.isAwaited(spec.ServiceCompleted):
		return Job
	case w.service.IsGlobal():
		return DaemonSet
	case w.hasVolume:
		return StatefulSet
	}
	if kind != Job && w.isAwaited(spec.ServiceCompleted) {
		w.refuse(w.path+"."+settingsKey+".kind", fmt.Sprintf("others wait until %s has completed, which a %s never does", w.name, kind.Kind), "write kind: job")
	}
	return kind
}

// isAwaited says that a service waits for this one in that way.
func (w *workload) isAwaited(condition string) bool {
	for _, other := range w.project.Services {
		if other.DependsOn[w.name].Condition == condition {
			return true
		}
	}
	return false
}

// needs are the dependencies that are services of the project.
func (w *workload) needs() map[string]spec.Dependency {
	needs := map[string]spec.Dependency{}
	for name, d := range w.service.DependsOn {
		if w.project.Services[name] == nil {
			continue
		}
		needs[name] = d
		if _, said := w.project.Places.All()[w.path+".depends_on."+name+".restart"]; d.Restart && said {
			w.warn(w.path+".depends_on."+name+".restart", "pods are not restarted with what they depend on, on Kubernetes", "")
		}
		if d.Condition == spec.ServiceHealthy && !isChecked(w.check(name)) && (w.opts.Checks != nil || w.isOwnCheck(name)) {
			w.refuse(w.path+".depends_on."+name, fmt.Sprintf("%s has no health check that could be waited for", name),
				fmt.Sprintf("write healthcheck: for %s; that of an image counts where the engine has the image (orlop build, orlop pull)", name))
		}
	}
	return needs
}

// isOwnCheck says that the file decides about the health check of a service, whatever its image has.
func (b *build) isOwnCheck(name string) bool {
	s := b.project.Services[name]
	return s == nil || s.HealthCheck != nil && (s.HealthCheck.Disable || len(s.HealthCheck.Test) > 0)
}

// check is the health check of a service: its own, completed by its image's.
func (b *build) check(name string) *spec.HealthCheck {
	s := b.project.Services[name]
	if s == nil {
		return nil
	}
	own, image := s.HealthCheck, b.opts.Checks[name]
	switch {
	case own == nil:
		return image
	case image == nil:
		return own
	}
	c := *own
	if len(c.Test) == 0 {
		c.Test = image.Test
	}
	c.Interval, c.Timeout, c.Retries = cmp.Or(c.Interval, image.Interval), cmp.Or(c.Timeout, image.Timeout), cmp.Or(c.Retries, image.Retries)
	c.StartPeriod, c.StartInterval = cmp.Or(c.StartPeriod, image.StartPeriod), cmp.Or(c.StartInterval, image.StartInterval)
	return &c
}

func isChecked(c *spec.HealthCheck) bool {
	return c != nil && !c.Disable && len(c.Test) > 0 && c.Test[0] != "NONE"
}

// deployment replaces pods as update_config says; without a word, none is taken away before
// another is ready.
func (w *workload) deployment(template map[string]any) (map[string]any, string) {
	out := map[string]any{"selector": map[string]any{"matchLabels": w.selector(w.name)}, "replicas": int64(w.service.Replicas()), "template": template, "revisionHistoryLimit": int64(2)}
	surge, unavailable, rolls := int64(1), int64(0), "rolling, one at a time"
	if u := w.service.Update(); u != nil {
		w.updates(u)
		if batch := int64(u.Batch(w.service.Replicas())); u.StartsFirst() {
			surge, unavailable = batch, 0
		} else if u.Order != "" || u.Parallelism != nil {
			surge, unavailable = 0, batch
		}
		if batch := surge + unavailable; batch > 1 {
			rolls = fmt.Sprintf("rolling, %d at a time", batch)
		}
	}
	if w.service.NetworkMode == "host" && surge > 0 { // no two pods on a node have its ports
		surge, unavailable, rolls = 0, surge+unavailable, "stopped first: its ports are the node's"
		if w.service.Update().StartsFirst() {
			w.warn(w.path+".deploy.update_config.order", "a pod on the network of a node is stopped before another has its ports", "")
		}
	}
	w.settle(out)
	if most := w.deadline(template); most > ownDeadline {
		out["progressDeadlineSeconds"] = most
	}
	if w.isAlone() {
		out["strategy"] = map[string]any{"type": "Recreate"} // no two have the volume
		return out, "stopped first: its volume is of one pod at a time"
	}
	out["strategy"] = map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"maxSurge": surge, "maxUnavailable": unavailable}}
	return out, rolls
}

// ownDeadline is how many seconds Kubernetes gives a Deployment for each pod that is to become ready, before it reports that its rollout has failed.
const ownDeadline = 600

// deadline is how many seconds a pod may take to become ready: as long as a deploy waits, and at least what its own terms give it.
func (w *workload) deadline(template map[string]any) int64 {
	const pull = 300 // for its image
	own := int64(pull)
	if u := w.service.Update(); u != nil {
		own += seconds(u.Monitor)
	}
	containers := template["spec"].(map[string]any)["containers"].([]any)
	if probe, has := containers[0].(map[string]any)["startupProbe"].(map[string]any); has {
		own += probe["periodSeconds"].(int64) * probe["failureThreshold"].(int64)
	}
	return max(own, w.opts.Deadline)
}

// isAlone says that a volume of the service is one that a pod has for itself.
func (w *workload) isAlone() bool {
	for _, m := range Mounts(w.project, w.service) {
		if of := w.settings["volumes."+m.Source]; m.Type == spec.MountVolume && of != nil && (of.Storage.Access == accessOnce || of.Storage.Access == "ReadWriteOncePod") {
			return true
		}
	}
	return false
}

// updates tells what of update_config a cluster does not do.
func (w *workload) updates(u *spec.UpdateConfig) {
	at := w.path + ".deploy.update_config"
	if u.Delay > 0 {
		w.warn(at+".delay", "Kubernetes does not pause between pods", "monitor: is how long each has to be ready before the next follows")
	}
	if u.FailureAction == spec.FailureContinue {
		w.warn(at+".failure_action", "an update whose pods do not become ready goes no further on Kubernetes", "rollback brings back what was")
	}
	if u.MaxFailureRatio > 0 {
		w.warn(at+".max_failure_ratio", "on Kubernetes an update has failed as soon as one pod does not become ready", "")
	}
}

// maxRevised is how long the names of StatefulSets and CronJobs may be: those of what they make have a number or a hash behind it.
const maxRevised = 52

func (w *workload) statefulSet(template map[string]any) (map[string]any, string) {
	out := map[string]any{
		"selector": map[string]any{"matchLabels": w.selector(w.name)}, "replicas": int64(w.service.Replicas()), "serviceName": w.names[w.name],
		"podManagementPolicy": "Parallel", "template": template, "revisionHistoryLimit": int64(2), "updateStrategy": map[string]any{"type": "RollingUpdate"},
	}
	if u := w.service.Update(); u != nil {
		w.updates(u)
		if u.StartsFirst() {
			w.warn(w.path+".deploy.update_config.order", "a pod with a volume is stopped before another has it", "")
		}
	}
	w.settle(out)
	if w.service.Replicas() == 1 {
		return out, "restart of " + shortened(w.names[w.name], maxRevised) + "-0"
	}
	return out, "restart, one at a time"
}

func (w *workload) daemonSet(template map[string]any) (map[string]any, string) {
	out := map[string]any{
		"selector": map[string]any{"matchLabels": w.selector(w.name)}, "template": template, "revisionHistoryLimit": int64(2),
		"updateStrategy": map[string]any{"type": "RollingUpdate"},
	}
	w.settle(out)
	u := w.service.Update()
	if u == nil {
		return out, "restart, one node at a time"
	}
	w.updates(u)
	batch, many := any(int64(1)), "one node at a time"
	switch {
	case u.Parallelism != nil && *u.Parallelism == 0:
		batch, many = "100%", "all nodes at once"
	case u.Parallelism != nil && *u.Parallelism > 1:
		batch, many = int64(*u.Parallelism), fmt.Sprintf("%d nodes at a time", *u.Parallelism)
	}
	rolling, rolls := map[string]any{"maxSurge": int64(0), "maxUnavailable": batch}, "restart, "
	switch {
	case !u.StartsFirst():
	case w.service.NetworkMode == "host":
		w.warn(w.path+".deploy.update_config.order", "a pod on the network of a node is stopped before another has its ports", "")
	case w.isAlone():
		w.warn(w.path+".deploy.update_config.order", "a pod with a volume is stopped before another has it", "")
	default:
		rolling, rolls = map[string]any{"maxSurge": batch, "maxUnavailable": int64(0)}, "rolling, "
	}
	out["updateStrategy"] = map[string]any{"type": "RollingUpdate", "rollingUpdate": rolling}
	return out, rolls + many
}

// untested is how many seconds a pod has to go on that has no check until it counts, and another goes for it: it is ready as soon as its
// container runs, also where that ends at once, and its kubelet takes a second or two to see that.
const untested = 3

// settle says how long a pod has to be ready until the next is replaced: as monitor says.
func (w *workload) settle(out map[string]any) {
	containers := out["template"].(map[string]any)["spec"].(map[string]any)["containers"].([]any)
	if u := w.service.Update(); u != nil && u.Monitor > 0 {
		out["minReadySeconds"] = seconds(u.Monitor)
	} else if containers[0].(map[string]any)["readinessProbe"] == nil {
		out["minReadySeconds"] = int64(untested)
	}
}

// job runs to completion; a changed one is another job.
func (w *workload) job(template map[string]any) map[string]any {
	terms := w.service.RestartTerms()
	limit := int64(0)
	if terms.Condition != spec.RestartNone {
		limit = 6 // as Kubernetes has it
		if terms.Bounded {
			limit = int64(terms.Most)
		}
	}
	template["spec"].(map[string]any)["restartPolicy"] = "Never"
	n := int64(w.service.Replicas())
	return map[string]any{"backoffLimit": limit, "completions": n, "parallelism": n, "template": template}
}

// scheduled makes a CronJob of each schedule of a job.
func (b *build) scheduled(name string) []*Resource {
	s := b.project.Jobs[name]
	var out []*Resource
	for i, when := range s.Schedules() {
		at := fmt.Sprintf("jobs.%s.triggers.schedule[%d]", name, i)
		w := b.workload("jobs."+name, name, s)
		if i == 0 {
			w.complain()
			w.complainOfJob()
		}
		template := map[string]any{"metadata": w.podMeta(), "spec": w.pod()}
		schedule := map[string]any{"schedule": b.cron(at, when.Cron), "concurrencyPolicy": "Forbid", "jobTemplate": map[string]any{"spec": w.job(template)}}
		if when.Timezone != "" {
			schedule["timeZone"] = when.Timezone
		} else {
			b.warn(at, "it comes by the clock of the cluster, which is UTC mostly", "timezone: says by whose")
		}
		if when.Concurrency == spec.ConcurrencyQueue {
			b.warn(at, "a CronJob has no queue: while a run goes on there is no further one", "")
		}
		if when.MissedFires == spec.MissedSkip {
			schedule["startingDeadlineSeconds"] = int64(60)
		}
		suffix := ""
		if len(s.Schedules()) > 1 {
			suffix = fmt.Sprintf("-%d", i+1)
		}
		key := name + suffix
		o := w.object(CronJob, shortened(b.names[name], maxRevised-len(suffix))+suffix, name, map[string]any{"spec": schedule})
		objects := w.files
		if i == 0 && s.NetworkMode == "none" {
			objects = append(objects, w.policies()...)
		}
		r := &Resource{Kind: OfJob, Key: key, Objects: append(objects, o), Workload: o, OneShot: true, Rolls: "from the next run on"}
		out = append(out, r)
	}
	return out
}

// podMeta are the labels and annotations of the pods.
func (w *workload) podMeta() map[string]any {
	labels := w.labels(w.name)
	for key, value := range w.networkLabels() {
		labels[key] = value
	}
	meta := map[string]any{"labels": anyMap(labels)}
	notes := map[string]string{}
	maps.Copy(notes, w.service.Annotations)
	for _, key := range slices.Sorted(maps.Keys(w.service.Labels)) {
		value := w.service.Labels[key]
		_, taken := labels[key]
		switch {
		case strings.HasPrefix(key, "com.docker.compose."):
		case !isQualified(key):
			w.warn(w.path+".labels."+key, "it can't be a label or annotation on Kubernetes", "")
		case isLabelValue(value) && !taken && !strings.Contains(key, "kubernetes.io/"):
			meta["labels"].(map[string]any)[key] = value
		default:
			notes[key] = value
		}
	}
	for key := range notes {
		if !isQualified(key) {
			w.warn(w.path+".annotations."+key, "it can't be an annotation on Kubernetes", "")
			delete(notes, key)
		}
	}
	if n := w.opts.Restarts[w.name]; n > 0 {
		notes[noteRestart] = strconv.Itoa(n)
	}
	if len(notes) > 0 {
		meta["annotations"] = anyMap(notes)
	}
	return meta
}

// describe adds annotations to an object.
func (b *build) describe(o *Object, path string, notes map[string]string) {
	out := map[string]any{}
	for key, value := range notes {
		if isQualified(key) {
			out[key] = value
		} else {
			b.warn(path+"."+key, "it can't be an annotation on Kubernetes", "")
		}
	}
	if len(out) > 0 {
		o.Body["metadata"].(map[string]any)["annotations"] = out
	}
}

func isText(content []byte) bool { return utf8.Valid(content) && !slices.Contains(content, 0) }

func base64Of(content []byte) string { return base64.StdEncoding.EncodeToString(content) }
