// Package rollout decides how far the pods of a workload are, and why they are no further. It looks at objects
// and does nothing.
package rollout

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// Seen are the objects of one service.
type Seen struct {
	Workload    *unstructured.Unstructured   // nil: it is not there yet
	Pods        []*unstructured.Unstructured // all of the service's
	ReplicaSets []*unstructured.Unstructured // of a Deployment
}

// State is how far a workload is.
type State struct {
	Done    bool   `json:"done"`
	Failure string `json:"failure,omitempty"` // why it will not be done; "" while it may
	Late    bool   `json:"late,omitempty"`    // the failure is that Kubernetes' own deadline for it has passed: it may be done all the same
	Text    string `json:"text,omitempty"`    // what is to be waited for, in a few words
	Killed  string `json:"killed,omitempty"`  // what the failure or text says of the container's end, if that may have been by the cluster: "exited with code 137"
	Pod     string `json:"pod,omitempty"`     // that the failure, or the text, is about
	Inside  string `json:"inside,omitempty"`  // the container of it; "": the pod itself
	Ready   int    `json:"ready"`
	Wanted  int    `json:"wanted"`
	Before  int    `json:"before,omitempty"` // pods of an older form that are ready, and go on

	// Young is how long containers have to go on from when they were seen first that have no check, or have failed before. Each is named with
	// how often it was started again. When they were started is known by the clocks of their nodes alone, which may be wrong.
	Young map[string]time.Duration `json:"-"`
}

const (
	restartsUntilFailed = 2 // of a container that ends with an error while it is to become ready
)

// Look says how far a workload is that has at least a generation, with pods of no older ones.
func Look(s Seen, generation int64) State {
	if s.Workload == nil || s.Workload.GetGeneration() < generation || !isObserved(s.Workload) {
		return State{Text: "waits for the cluster"}
	}
	pods := s.current()
	st := State{Wanted: wanted(s.Workload), Ready: ready(pods)}
	if s.Workload.GetKind() == "Job" {
		n, _, _ := unstructured.NestedInt64(s.Workload.Object, "status", "succeeded")
		st.Ready = int(n)
	} else {
		st.Before, st.Young = max(ready(s.Pods)-st.Ready, 0), young(pods)
	}
	result, err := status.Compute(s.Workload)
	switch {
	case err != nil:
		st.Failure = fmt.Sprintf("its status can't be read: %v", err)
		return st
	case result.Status == status.CurrentStatus && !isUnfinished(s.Workload) && (s.Workload.GetKind() == "Job" || ready(pods) == len(pods)): // what is told of pods comes first
		st.Done = true
		return st
	}
	st.Text = fmt.Sprintf("%d of %d ready", st.Ready, st.Wanted)
	if st.Ready >= st.Wanted {
		st.Text += rest(s.Workload, st.Wanted)
	}
	if s.Workload.GetKind() == "Job" {
		st.Text = "runs"
	}
	if message := conditionMessage(s.Workload, "ReplicaFailure"); message != "" && len(pods) < st.Wanted {
		st.Text = "its pods can't be made: " + message
	}
	for _, pod := range pods {
		why := lookAt(pod, s.Workload.GetKind() == "Job")
		if why.failure == "" && why.text == "" || why.isPast && st.Pod != "" {
			continue
		}
		st.Pod, st.Inside, st.Killed = pod.GetName(), why.container, why.killed
		if why.failure != "" {
			st.Failure, st.Text = why.failure, ""
			return st
		}
		st.Text = why.text
	}
	if st.Pod == "" && st.Ready < st.Wanted {
		st.reject(s.newest())
	}
	if result.Status == status.FailedStatus {
		st.Failure = jobFailure(s.Workload, result.Message)
		st.Late = conditionField(s.Workload, "Progressing", "reason") == "ProgressDeadlineExceeded"
		if pod := lastFailed(pods); pod != nil {
			st.Pod = pod.GetName()
			if c, text := ended(pod); text != "" {
				st.Inside, st.Failure = c, text
			}
		}
	}
	return st
}

// rest is what is to come of a workload whose pods are all ready.
func rest(w *unstructured.Unstructured, wanted int) string {
	long, _, _ := unstructured.NestedInt64(w.Object, "spec", "minReadySeconds")
	available, _, _ := unstructured.NestedInt64(w.Object, "status", "availableReplicas")
	if w.GetKind() == "DaemonSet" {
		available, _, _ = unstructured.NestedInt64(w.Object, "status", "numberAvailable")
	}
	if long > 0 && int(available) < wanted {
		return fmt.Sprintf(", to go on for %ds", long)
	}
	return ", and those before are not gone"
}

// isObserved says that the workload's controller has seen it as it is: until then, what is said of its pods is about those before.
func isObserved(w *unstructured.Unstructured) bool {
	seen, has, _ := unstructured.NestedInt64(w.Object, "status", "observedGeneration")
	return w.GetKind() == "Job" || has && seen >= w.GetGeneration()
}

// isUnfinished says that a Job runs: kstatus calls one current as soon as it has begun.
func isUnfinished(w *unstructured.Unstructured) bool {
	return w.GetKind() == "Job" && condition(w, "Complete") != "True"
}

func jobFailure(w *unstructured.Unstructured, message string) string {
	if m := conditionMessage(w, "Failed"); m != "" {
		return m
	}
	return message
}

// current are the pods of the newest form of the workload. One that has ended stays in the list, for days where nobody removes it, and counts
// for a Job alone: others have it no more.
func (s *Seen) current() []*unstructured.Unstructured {
	return slices.DeleteFunc(s.newest(), func(pod *unstructured.Unstructured) bool { return s.Workload.GetKind() != "Job" && hasEnded(pod) })
}

// newest are the pods of the newest form of the workload, also those that have ended.
func (s *Seen) newest() []*unstructured.Unstructured {
	label, value := "", ""
	switch s.Workload.GetKind() {
	case "Deployment":
		revision := s.Workload.GetAnnotations()["deployment.kubernetes.io/revision"]
		for _, rs := range s.ReplicaSets {
			if rs.GetAnnotations()["deployment.kubernetes.io/revision"] == revision && isOwnedBy(rs, s.Workload) {
				label, value = "pod-template-hash", rs.GetLabels()["pod-template-hash"]
			}
		}
		if value == "" {
			return nil
		}
	case "StatefulSet":
		label = "controller-revision-hash"
		value, _, _ = unstructured.NestedString(s.Workload.Object, "status", "updateRevision")
	case "Job":
		label, value = "batch.kubernetes.io/job-name", s.Workload.GetName()
	}
	var out []*unstructured.Unstructured
	for _, pod := range s.Pods {
		if (label == "" || pod.GetLabels()[label] == value) && pod.GetDeletionTimestamp() == nil {
			out = append(out, pod)
		}
	}
	slices.SortFunc(out, func(a, b *unstructured.Unstructured) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return out
}

// reject tells of the pod that was made last that its node takes none like it. Another one follows at once, without end.
func (st *State) reject(pods []*unstructured.Unstructured) {
	if len(pods) == 0 {
		return
	}
	pod := slices.MaxFunc(pods, func(a, b *unstructured.Unstructured) int {
		return a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time)
	})
	message, _, _ := unstructured.NestedString(pod.Object, "status", "message")
	text, is := strings.CutPrefix(message, "Pod was rejected: ")
	if phaseOf(pod) != "Failed" || !is {
		return
	}
	st.Pod, st.Text = pod.GetName(), "its node rejects it: "+text
	switch reason, _, _ := unstructured.NestedString(pod.Object, "status", "reason"); reason {
	case "SysctlForbidden", "AppArmor", "PodOSNotSupported": // and will reject the next one
		st.Failure, st.Text = st.Text, ""
	}
}

// hasEnded says that no container of a pod runs again: it was evicted, say, or its node went down.
func hasEnded(pod *unstructured.Unstructured) bool {
	phase := phaseOf(pod)
	return phase == "Failed" || phase == "Succeeded"
}

func phaseOf(pod *unstructured.Unstructured) string {
	phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase")
	return phase
}

func isOwnedBy(o, owner *unstructured.Unstructured) bool {
	for _, ref := range o.GetOwnerReferences() {
		if ref.UID == owner.GetUID() {
			return true
		}
	}
	return false
}

func wanted(w *unstructured.Unstructured) int {
	path := map[string][]string{"DaemonSet": {"status", "desiredNumberScheduled"}, "Job": {"spec", "completions"}}[w.GetKind()]
	if path == nil {
		path = []string{"spec", "replicas"}
	}
	n, has, _ := unstructured.NestedInt64(w.Object, path...)
	if !has && w.GetKind() != "DaemonSet" {
		return 1
	}
	return int(n)
}

func ready(pods []*unstructured.Unstructured) int {
	n := 0
	for _, pod := range pods {
		if condition(pod, "Ready") == "True" {
			n++
		}
	}
	return n
}

func conditions(o *unstructured.Unstructured) []any {
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	return list
}

func condition(o *unstructured.Unstructured, kind string) string {
	return conditionField(o, kind, "status")
}

func conditionMessage(o *unstructured.Unstructured, kind string) string {
	if condition(o, kind) != "True" {
		return ""
	}
	return conditionField(o, kind, "message")
}

func conditionField(o *unstructured.Unstructured, kind, field string) string {
	for _, item := range conditions(o) {
		c, _ := item.(map[string]any)
		if c["type"] == kind {
			s, _ := c[field].(string)
			return s
		}
	}
	return ""
}

// finding is what keeps a pod from being ready.
type finding struct {
	container string
	killed    string // see State
	failure   string
	text      string
	isPast    bool // it runs by now, and nothing but its past speaks against it
}

// Reasons for which a container will not start, in plain words.
var hopeless = map[string]string{
	"ImagePullBackOff": "its image can't be pulled", "ErrImagePull": "its image can't be pulled", "ErrImageNeverPull": "its image is not on the node",
	"InvalidImageName": "its image has no valid name", "CreateContainerConfigError": "it can't be configured", "CreateContainerError": "it can't be created", "RunContainerError": "it can't be started",
}

func lookAt(pod *unstructured.Unstructured, isJob bool) finding {
	if reason := conditionField(pod, "PodScheduled", "reason"); reason == "Unschedulable" {
		message, _, _ := strings.Cut(conditionField(pod, "PodScheduled", "message"), " preemption: ")
		return finding{text: "no node takes it: " + message}
	}
	inits, _, _ := unstructured.NestedSlice(pod.Object, "status", "initContainerStatuses")
	mains, _, _ := unstructured.NestedSlice(pod.Object, "status", "containerStatuses")
	var past finding
	for i, item := range slices.Concat(inits, mains) {
		c, _ := item.(map[string]any)
		name, _ := c["name"].(string)
		restarts := int(asInt(c["restartCount"]))
		waiting, _, _ := unstructured.NestedStringMap(c, "state", "waiting")
		if words, is := hopeless[waiting["reason"]]; is {
			if waiting["reason"] == "ErrImagePull" && !strings.Contains(waiting["message"], "not found") { // once is no more than a moment's trouble
				return finding{container: name, text: words + ": " + Plain(waiting["message"])}
			}
			return finding{container: name, failure: join(words, Plain(waiting["message"]))}
		}
		ended, _, _ := unstructured.NestedMap(c, "state", "terminated")
		hasEnded := ended != nil && (i >= len(inits) || asInt(ended["exitCode"]) != 0) // a first container is to end, well
		if end, has := last(c); has && !isJob && restarts >= restartsUntilFailed && (hasEnded || waiting["reason"] == "CrashLoopBackOff") {
			return finding{container: name, killed: end.killed(), failure: end.String() + fmt.Sprintf(", %d times", restarts+1)}
		} else if has && waiting["reason"] != "" {
			return finding{container: name, killed: end.killed(), text: end.String() + ", starts again"}
		} else if hasEnded && !isJob {
			return finding{container: name, killed: end.killed(), text: end.String()}
		}
		if reason := waiting["reason"]; reason == "ContainerCreating" || reason == "PodInitializing" {
			return finding{text: "its containers are not made yet"}
		}
		if i < len(inits) && (name == "gate" || name == "orlop-gate") {
			if running, has, _ := unstructured.NestedMap(c, "state", "running"); has && running != nil {
				return finding{container: name, text: "waits for what it depends on"}
			}
		}
		if end, has := last(c); has && end.code != 0 && i >= len(inits) && !isJob {
			past = finding{container: name, killed: end.killed(), text: end.String() + ", started again", isPast: true}
		}
		if started, has := c["started"].(bool); has && i >= len(inits) {
			if isReady, _ := c["ready"].(bool); !isReady && waiting["reason"] == "" {
				if started {
					return finding{container: name, text: "is not ready: its health check fails"}
				}
				text := "its health check has not succeeded yet"
				if end, has := last(c); has {
					return finding{container: name, killed: end.killed(), text: end.String() + ", started again: " + text}
				}
				return finding{container: name, text: "starts: " + text}
			}
		}
	}
	return past
}

func join(words, message string) string {
	if message == "" {
		return words
	}
	return words + ": " + message
}

// end is how a container ended.
type end struct {
	code            int64
	reason, message string
}

// last is how a container ended before it was started again.
func last(c map[string]any) (e end, has bool) {
	for _, at := range []string{"state", "lastState"} {
		if t, is, _ := unstructured.NestedMap(c, at, "terminated"); is {
			e.reason, _ = t["reason"].(string)
			e.message, _ = t["message"].(string)
			e.code = asInt(t["exitCode"])
			return e, true
		}
	}
	return e, false
}

// String says it in words.
func (e end) String() string {
	switch {
	case e.reason == "OOMKilled":
		return "killed: it used more memory than it may"
	case e.reason == "StartError" || e.reason == "ContainerCannotRun":
		return join(hopeless["RunContainerError"], Plain(e.message))
	}
	return fmt.Sprintf("exited with code %d", e.code)
}

// killed is how a container ended that may have been made to, by SIGTERM or SIGKILL; "" of one that has ended by itself.
func (e end) killed() string {
	const byTerm, byKill = 143, 137
	if e.reason != "OOMKilled" && (e.code == 0 || e.code == byTerm || e.code == byKill) {
		return e.String()
	}
	return ""
}

// How long containers have to go on. Without a check they are ready at once, also those that end at once: a kubelet looks each second, and
// starts one that failed again.
const (
	settle      = 2500 * time.Millisecond
	settleAgain = 5 * time.Second // of one that has failed before
)

// young are the containers that run and have no check, or have failed before, see State.
func young(pods []*unstructured.Unstructured) map[string]time.Duration {
	out := map[string]time.Duration{}
	for _, pod := range pods {
		checked := map[any]bool{}
		specs, _, _ := unstructured.NestedSlice(pod.Object, "spec", "containers")
		for _, item := range specs {
			c, _ := item.(map[string]any)
			checked[c["name"]] = c["readinessProbe"] != nil
		}
		mains, _, _ := unstructured.NestedSlice(pod.Object, "status", "containerStatuses")
		for _, item := range mains {
			c, _ := item.(map[string]any)
			if _, runs, _ := unstructured.NestedMap(c, "state", "running"); !runs {
				continue
			}
			key := fmt.Sprint(pod.GetName(), " ", pod.GetUID(), " ", c["name"], " ", c["restartCount"])
			if end, has := last(c); has && end.code != 0 {
				out[key] = settleAgain
			} else if !checked[c["name"]] {
				out[key] = settle
			}
		}
	}
	return out
}

// jargon is what kubelets and runtimes put before a cause: names of their own functions and states.
var jargon = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:rpc error: code = \w+ desc = |(?:Error|Failed to pull image "[^"]*"|failed to pull and unpack image "[^"]*"|` +
		`failed to resolve (?:image|reference "[^"]*")|failed to (?:create|start) (?:containerd task|shim task|container|init process)|failed to generate (?:container "[^"]*" )?spec|` +
		`OCI runtime create failed|runc create failed|unable to start container process|error during container init|failed to do request|Back-off pulling image "[^"]*": ErrImagePull): *)`)
})

// Plain is a message of a kubelet without what comes before its cause.
func Plain(message string) string {
	for {
		rest := jargon().ReplaceAllString(message, "")
		if rest == message || rest == "" {
			return message
		}
		message = rest
	}
}

// ended is how the container of a pod of a job ended.
func ended(pod *unstructured.Unstructured) (container, text string) {
	inits, _, _ := unstructured.NestedSlice(pod.Object, "status", "initContainerStatuses")
	mains, _, _ := unstructured.NestedSlice(pod.Object, "status", "containerStatuses")
	for _, item := range slices.Concat(inits, mains) {
		c, _ := item.(map[string]any)
		if end, has := last(c); has && end.code != 0 {
			name, _ := c["name"].(string)
			return name, end.String()
		}
	}
	return "", ""
}

func lastFailed(pods []*unstructured.Unstructured) *unstructured.Unstructured {
	var out *unstructured.Unstructured
	for _, pod := range pods {
		if phaseOf(pod) == "Failed" && (out == nil || out.GetCreationTimestamp().Time.Before(pod.GetCreationTimestamp().Time)) {
			out = pod
		}
	}
	return out
}

func asInt(v any) int64 {
	switch n := v.(type) {
	case int64:
		return n
	case float64:
		return int64(n)
	}
	return 0
}
