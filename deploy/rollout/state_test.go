package rollout

import (
	"maps"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	var o unstructured.Unstructured
	if err := o.UnmarshalJSON([]byte(text)); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return &o
}

const (
	deployment = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","uid":"u","generation":2,"annotations":{"deployment.kubernetes.io/revision":"2"}},"spec":{"replicas":1},"status":STATUS}`
	newSet     = `{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"web-2","annotations":{"deployment.kubernetes.io/revision":"2"},"labels":{"pod-template-hash":"new"},"ownerReferences":[{"uid":"u"}]}}`
	oldSet     = `{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"web-1","annotations":{"deployment.kubernetes.io/revision":"1"},"labels":{"pod-template-hash":"old"},"ownerReferences":[{"uid":"u"}]}}`
	rolling    = `{"observedGeneration":2,"replicas":2,"updatedReplicas":1,"readyReplicas":1,"availableReplicas":1,"conditions":[{"type":"Progressing","status":"True","reason":"ReplicaSetUpdated"}]}`
	done       = `{"observedGeneration":2,"replicas":1,"updatedReplicas":1,"readyReplicas":1,"availableReplicas":1,"conditions":[{"type":"Progressing","status":"True","reason":"NewReplicaSetAvailable"},{"type":"Available","status":"True"}]}`
)

// pod is one of a Deployment's newest form, with the status of its container.
func pod(hash, conditions, container string) string {
	return `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-` + hash + `","labels":{"pod-template-hash":"` + hash + `"}},"status":{"phase":"Running","conditions":[` + conditions + `],"containerStatuses":[` + container + `]}}`
}

// starting is a pod of the newest form whose own container waits for a first one.
func starting(first string) string {
	return strings.Replace(pod("new", "", `{"name":"web","state":{"waiting":{"reason":"PodInitializing"}}}`), `"containerStatuses"`, `"initContainerStatuses":[`+first+`],"containerStatuses"`, 1)
}

// evicted is a pod of the newest form that has ended, by which its node got room.
func evicted(phase string) string {
	text := pod("new", `{"type":"Ready","status":"False"}`, `{"name":"web","ready":false,"state":{"terminated":{"exitCode":137}}}`)
	return strings.NewReplacer(`"Running"`, `"`+phase+`"`, `"web-new"`, `"web-new-evicted"`).Replace(text)
}

// rejected is a pod of the newest form that its node did not take.
func rejected(name, made, reason string) string {
	return `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-` + name + `","creationTimestamp":"2026-11-30T10:00:0` + made + `Z","labels":{"pod-template-hash":"new"}},"status":{"phase":"Failed","reason":"` + reason + `","message":"Pod was rejected: no room for it"}}`
}

func TestHowFarAWorkloadIs(t *testing.T) {
	for name, c := range map[string]struct {
		status     string
		generation int64
		long       int64 // minReadySeconds
		pods       []string
		done       bool
		failure    string
		late       bool
		killed     string
		text       string
	}{
		"done":                          {status: done, generation: 2, done: true},
		"done, and ended by now":        {status: done, generation: 2, pods: []string{pod("new", `{"type":"Ready","status":"False"}`, `{"name":"web","state":{"terminated":{"exitCode":3}}}`)}, text: "exited with code 3"},
		"not heard of yet":              {status: done, generation: 3, text: "waits for the cluster"},
		"not seen by its controller":    {status: strings.Replace(rolling, `"observedGeneration":2`, `"observedGeneration":1`, 1), generation: 2, pods: []string{pod("new", "", `{"name":"web","state":{"waiting":{"reason":"ImagePullBackOff"}}}`)}, text: "waits for the cluster"},
		"done beside an evicted pod":    {status: done, generation: 2, pods: []string{pod("new", `{"type":"Ready","status":"True"}`, ""), evicted("Failed")}, done: true},
		"done beside a completed pod":   {status: done, generation: 2, pods: []string{pod("new", `{"type":"Ready","status":"True"}`, ""), evicted("Succeeded")}, done: true},
		"rolling beside an evicted one": {status: rolling, generation: 2, pods: []string{pod("new", "", `{"name":"web","started":true,"ready":false,"state":{"running":{}}}`), evicted("Failed")}, text: "is not ready: its health check fails"},
		"a gate of another name":        {status: rolling, generation: 2, pods: []string{strings.Replace(pod("new", "", ""), `"containerStatuses"`, `"initContainerStatuses":[{"name":"orlop-gate","state":{"running":{"startedAt":"2026-11-30T10:00:00Z"}}}],"containerStatuses"`, 1)}, text: "waits for what it depends on"},
		"rejected for good":             {status: rolling, generation: 2, pods: []string{rejected("a", "1", "OutOfcpu"), rejected("b", "2", "SysctlForbidden")}, failure: "its node rejects it: no room for it"},
		"rejected for now":              {status: rolling, generation: 2, pods: []string{rejected("a", "2", "OutOfcpu"), rejected("b", "1", "SysctlForbidden")}, text: "its node rejects it: no room for it"},
		"rejected before":               {status: rolling, generation: 2, pods: []string{rejected("a", "1", "SysctlForbidden"), strings.Replace(pod("new", "", ""), `"name":"web-new"`, `"name":"web-new","creationTimestamp":"2026-11-30T10:00:09Z"`, 1)}, text: "0 of 1 ready"},
		"rolling":                       {status: rolling, generation: 2, pods: []string{pod("old", `{"type":"Ready","status":"True"}`, "")}, text: "0 of 1 ready"},
		"ready, and some before it":     {status: rolling, generation: 2, pods: []string{pod("old", `{"type":"Ready","status":"True"}`, ""), pod("new", `{"type":"Ready","status":"True"}`, "")}, text: "1 of 1 ready, and those before are not gone"},
		"ready for a moment":            {status: strings.Replace(rolling, `"availableReplicas":1`, `"availableReplicas":0`, 1), generation: 2, long: 3, pods: []string{pod("new", `{"type":"Ready","status":"True"}`, "")}, text: "1 of 1 ready, to go on for 3s"},
		"ready, and failed before":      {status: rolling, generation: 2, pods: []string{pod("new", `{"type":"Ready","status":"True"}`, `{"name":"web","ready":true,"started":true,"restartCount":1,"state":{"running":{}},"lastState":{"terminated":{"exitCode":4}}}`)}, text: "exited with code 4, started again"},
		"an older pod's failure":        {status: rolling, generation: 2, pods: []string{pod("old", "", `{"name":"web","restartCount":9,"state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":{"terminated":{"exitCode":1}}}`)}, text: "0 of 1 ready"},
		"its image can't be pulled":     {status: rolling, generation: 2, pods: []string{pod("new", "", `{"name":"web","state":{"waiting":{"reason":"ImagePullBackOff","message":"not found"}}}`)}, failure: "its image can't be pulled: not found"},
		"it crashes again and again": {status: rolling, generation: 2, pods: []string{pod("new", "", `{"name":"web","restartCount":2,"state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":{"terminated":{"exitCode":3}}}`)},
			failure: "exited with code 3, 3 times"},
		"it has ended a third time, and is held back": {status: rolling, generation: 2, pods: []string{pod("new", "", `{"name":"web","restartCount":2,"state":{"terminated":{"exitCode":3}},"lastState":{"terminated":{"exitCode":3}}}`)},
			failure: "exited with code 3, 3 times"},
		"what comes before it has failed": {status: rolling, generation: 2, pods: []string{starting(`{"name":"pre-start-1","restartCount":1,"state":{"terminated":{"exitCode":4}},"lastState":{"terminated":{"exitCode":4}}}`)}, text: "exited with code 4"},
		"what comes before it fails again and again": {status: rolling, generation: 2, pods: []string{starting(`{"name":"pre-start-1","restartCount":2,"state":{"terminated":{"exitCode":4}},"lastState":{"terminated":{"exitCode":4}}}`)},
			failure: "exited with code 4, 3 times"},
		"what comes before it has ended well at last": {status: rolling, generation: 2, pods: []string{starting(`{"name":"pre-start-1","restartCount":2,"state":{"terminated":{"exitCode":0}},"lastState":{"terminated":{"exitCode":4}}}`)},
			text: "its containers are not made yet"},
		"it crashed once":               {status: rolling, generation: 2, pods: []string{pod("new", "", `{"name":"web","restartCount":1,"state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":{"terminated":{"exitCode":3}}}`)}, text: "exited with code 3, starts again"},
		"out of memory":                 {status: rolling, generation: 2, pods: []string{pod("new", "", `{"name":"web","restartCount":4,"state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":{"terminated":{"exitCode":137,"reason":"OOMKilled"}}}`)}, failure: "killed: it used more memory than it may, 5 times"},
		"no node takes it":              {status: rolling, generation: 2, pods: []string{pod("new", `{"type":"PodScheduled","status":"False","reason":"Unschedulable","message":"0/1 nodes"}`, "")}, text: "no node takes it: 0/1 nodes"},
		"its probe fails":               {status: rolling, generation: 2, pods: []string{pod("new", "", `{"name":"web","started":true,"ready":false,"state":{"running":{}}}`)}, text: "is not ready: its health check fails"},
		"it has not started":            {status: rolling, generation: 2, pods: []string{pod("new", "", `{"name":"web","started":false,"ready":false,"state":{"running":{}}}`)}, text: "starts: its health check has not succeeded yet"},
		"deadline of its own":           {status: strings.Replace(rolling, `"status":"True","reason":"ReplicaSetUpdated"`, `"status":"False","reason":"ProgressDeadlineExceeded","message":"late"`, 1), generation: 2, failure: "Progress deadline exceeded", late: true, text: "0 of 1 ready"},
		"its containers are being made": {status: rolling, generation: 2, pods: []string{pod("new", "", `{"name":"web","state":{"waiting":{"reason":"ContainerCreating"}}}`)}, text: "its containers are not made yet"},
		"its program is not there": {status: rolling, generation: 2, pods: []string{pod("new", "", `{"name":"web","restartCount":2,"state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":{"terminated":{"exitCode":128,"reason":"StartError","message":"failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"x\": not found"}}}`)},
			failure: `it can't be started: exec: "x": not found, 3 times`},
		"no pod can be made": {status: strings.Replace(rolling, `"conditions":[`, `"conditions":[{"type":"ReplicaFailure","status":"True","message":"exceeded quota"},`, 1), generation: 2, text: "its pods can't be made: exceeded quota"},
		"started again": {status: rolling, generation: 2, pods: []string{pod("new", "", `{"name":"web","started":false,"ready":false,"restartCount":1,"state":{"running":{}},"lastState":{"terminated":{"exitCode":137}}}`)},
			text: "exited with code 137, started again: its health check has not succeeded yet", killed: "exited with code 137"},
		"killed": {status: rolling, generation: 2, pods: []string{pod("new", "", `{"name":"web","restartCount":1,"state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":{"terminated":{"exitCode":137}}}`)},
			text: "exited with code 137, starts again", killed: "exited with code 137"},
	} {
		t.Run(name, func(t *testing.T) {
			seen := Seen{
				Workload:    object(t, strings.Replace(deployment, "STATUS", c.status, 1)),
				ReplicaSets: []*unstructured.Unstructured{object(t, oldSet), object(t, newSet)},
			}
			if err := unstructured.SetNestedField(seen.Workload.Object, c.long, "spec", "minReadySeconds"); err != nil {
				t.Fatal(err)
			}
			for _, p := range c.pods {
				seen.Pods = append(seen.Pods, object(t, p))
			}
			got := Look(seen, c.generation)
			if got.Done != c.done || got.Failure != c.failure || got.Late != c.late || got.Killed != c.killed || c.text != "" && got.Text != c.text {
				t.Errorf("it is %+v, want done %v, failure %q, text %q", got, c.done, c.failure, c.text)
			}
		})
	}
}

// TestWhatHasNoCheckHasToGoOn whatever time its node takes it to be: that of the year 2000 here.
func TestWhatHasNoCheckHasToGoOn(t *testing.T) {
	const (
		fine    = `{"name":"web","ready":true,"restartCount":0,"state":{"running":{"startedAt":"2000-01-01T00:00:00Z"}}}`
		ended   = `{"name":"web","ready":true,"restartCount":1,"state":{"running":{"startedAt":"2000-01-01T00:00:00Z"}},"lastState":{"terminated":{"exitCode":0}}}`
		crashed = `{"name":"web","ready":true,"restartCount":1,"state":{"running":{"startedAt":"2000-01-01T00:00:00Z"}},"lastState":{"terminated":{"exitCode":3}}}`
		waiting = `{"name":"web","ready":false,"restartCount":1,"state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":{"terminated":{"exitCode":3}}}`
	)
	for name, c := range map[string]struct {
		status  string
		checked bool
		young   map[string]time.Duration
	}{
		"started":                       {fine, false, map[string]time.Duration{"web-new  web 0": settle}},
		"with a check":                  {fine, true, nil},
		"started again":                 {ended, false, map[string]time.Duration{"web-new  web 1": settle}},
		"started again after a failure": {crashed, false, map[string]time.Duration{"web-new  web 1": settleAgain}},
		"the same with a check":         {crashed, true, map[string]time.Duration{"web-new  web 1": settleAgain}},
		"not started":                   {waiting, false, nil},
	} {
		p := object(t, pod("new", `{"type":"Ready","status":"True"}`, c.status))
		container := map[string]any{"name": "web"}
		if c.checked {
			container["readinessProbe"] = map[string]any{}
		}
		if err := unstructured.SetNestedSlice(p.Object, []any{container}, "spec", "containers"); err != nil {
			t.Fatal(err)
		}
		seen := Seen{
			Workload: object(t, strings.Replace(deployment, "STATUS", done, 1)), ReplicaSets: []*unstructured.Unstructured{object(t, newSet)}, Pods: []*unstructured.Unstructured{p},
		}
		if got := Look(seen, 2); !got.Done || !maps.Equal(got.Young, c.young) {
			t.Errorf("%s: it is %+v, want %v", name, got, c.young)
		}
	}
}

func TestAMessageBeginsWithItsCause(t *testing.T) {
	for message, want := range map[string]string{
		`rpc error: code = NotFound desc = failed to pull and unpack image "r/a:1": failed to resolve image: r/a:1: not found`: "r/a:1: not found",
		`Failed to pull image "r/a:1": rpc error: code = Unknown desc = failed to resolve reference "r/a:1": no such host`:     "no such host",
		`Error: failed to create containerd task: OCI runtime create failed: exec: "x": permission denied`:                     `exec: "x": permission denied`,
		`secret "key" not found`: `secret "key" not found`,
		"Error: ":                "Error: ",
	} {
		if got := Plain(message); got != want {
			t.Errorf("%s is %q, want %q", message, got, want)
		}
	}
}

func TestAJobIsDoneWhenItHasCompleted(t *testing.T) {
	const job = `{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"j","generation":1},"spec":{"completions":1,"parallelism":1},"status":STATUS}`
	for status, want := range map[string]State{
		`{"active":1,"startTime":"2026-01-01T00:00:00Z"}`:                                                             {Text: "runs", Wanted: 1},
		`{"succeeded":1,"conditions":[{"type":"Complete","status":"True"}]}`:                                          {Done: true, Wanted: 1},
		`{"failed":1,"conditions":[{"type":"Failed","status":"True","message":"Job has reached its backoff limit"}]}`: {Failure: "Job has reached its backoff limit", Wanted: 1},
	} {
		got := Look(Seen{Workload: object(t, strings.Replace(job, "STATUS", status, 1))}, 1)
		if got.Done != want.Done || got.Failure != want.Failure {
			t.Errorf("%s is %+v, want %+v", status, got, want)
		}
	}
	if got := Look(Seen{}, 1); got.Done || got.Failure != "" {
		t.Errorf("a job that is not there is %+v", got)
	}
}
