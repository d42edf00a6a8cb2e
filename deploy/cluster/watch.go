package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/orlop/orlop/deploy/manifest"
)

// Kinds that are looked at and never applied.
var (
	Pod        = manifest.Kind{Version: "v1", Kind: "Pod", Plural: "pods"}
	ReplicaSet = manifest.Kind{Group: "apps", Version: "v1", Kind: "ReplicaSet", Plural: "replicasets"}
	Event      = manifest.Kind{Version: "v1", Kind: "Event", Plural: "events"}
	Lease      = manifest.Kind{Group: "coordination.k8s.io", Version: "v1", Kind: "Lease", Plural: "leases"}
)

// Mirror holds the objects of some kinds as the API server tells of them. It goes on over lost connections.
type Mirror struct {
	stores map[manifest.Kind]cache.GenericLister

	mu      sync.Mutex
	changed chan struct{} // closed with the next change
	failure error         // that no time heals
	cancel  context.CancelFunc
	factory dynamicinformer.DynamicSharedInformerFactory
}

// Follow mirrors kinds by labels until Close. It returns when all that was there is known.
func (c *Client) Follow(ctx context.Context, kinds []manifest.Kind, selector string) (*Mirror, error) {
	ctx, cancel := context.WithCancel(ctx)
	m := &Mirror{stores: map[manifest.Kind]cache.GenericLister{}, changed: make(chan struct{}), cancel: cancel}
	m.factory = dynamicinformer.NewFilteredDynamicSharedInformerFactory(c.dyn, 0, c.Namespace, func(o *v1.ListOptions) { o.LabelSelector = selector })
	for _, k := range kinds {
		informer := m.factory.ForResource(resource(k))
		m.stores[k] = informer.Lister()
		if _, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { m.tell(nil) }, UpdateFunc: func(any, any) { m.tell(nil) }, DeleteFunc: func(any) { m.tell(nil) },
		}); err != nil {
			cancel()
			return nil, fmt.Errorf("internal error: %w", err)
		}
		if err := informer.Informer().SetWatchErrorHandler(func(_ *cache.Reflector, err error) {
			var missing *Missing
			if explained := c.explain("watch", k, "", err); errors.As(explained, &missing) {
				m.tell(explained)
			}
		}); err != nil {
			cancel()
			return nil, fmt.Errorf("internal error: %w", err)
		}
	}
	m.factory.Start(ctx.Done())
	for _, k := range kinds {
		if err := m.sync(ctx, m.factory.ForResource(resource(k)).Informer().HasSyncedChecker()); err != nil {
			m.Close()
			return nil, err
		}
	}
	return m, nil
}

// sync waits until all that was there of a kind is known.
func (m *Mirror) sync(ctx context.Context, synced cache.DoneChecker) error {
	for !cache.IsDone(synced) {
		changed := m.Changed()
		if err := m.failed(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-synced.Done():
		case <-changed:
		}
	}
	return nil
}

func (m *Mirror) tell(failure error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if failure != nil {
		m.failure = failure
	}
	close(m.changed)
	m.changed = make(chan struct{})
}

// Changed ends with the next change. Who looks takes it before looking.
func (m *Mirror) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// Wait waits for a change, at most so long; 0 is for ever.
func (m *Mirror) Wait(ctx context.Context, changed <-chan struct{}, most time.Duration) error {
	var late <-chan time.Time
	if most > 0 {
		timer := time.NewTimer(most)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-changed:
	case <-late:
	}
	return m.failed()
}

func (m *Mirror) failed() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failure
}

// Objects are those of a kind that have labels.
func (m *Mirror) Objects(k manifest.Kind, with map[string]string) []*Live {
	lister := m.stores[k]
	if lister == nil {
		return nil
	}
	found, err := lister.List(labels.SelectorFromSet(with))
	if err != nil {
		return nil
	}
	var out []*Live
	for _, o := range found {
		if u, is := o.(*unstructured.Unstructured); is {
			out = append(out, u)
		}
	}
	return out
}

// Close ends the mirror.
func (m *Mirror) Close() {
	m.cancel()
	m.factory.Shutdown()
}

// LogOptions say which lines of a container's log.
type LogOptions struct {
	Follow     bool
	Previous   bool // of the container that was there before it was started again
	Timestamps bool
	Tail       int // lines; negative: all
	Since      time.Time
	Ago        time.Duration // in place of Since: before now, by the clock of the node, in whole seconds
}

// Logs reads the log of a container of a pod.
func (c *Client) Logs(ctx context.Context, pod, container string, o LogOptions) (io.ReadCloser, error) {
	query := url.Values{"container": {container}}
	if o.Follow {
		query.Set("follow", "true")
	}
	if o.Previous {
		query.Set("previous", "true")
	}
	if o.Timestamps {
		query.Set("timestamps", "true")
	}
	if o.Tail >= 0 {
		query.Set("tailLines", strconv.Itoa(o.Tail))
	}
	switch {
	case o.Ago > 0:
		query.Set("sinceSeconds", strconv.FormatInt(int64(math.Ceil(o.Ago.Seconds())), 10))
	case !o.Since.IsZero():
		query.Set("sinceTime", o.Since.UTC().Format(time.RFC3339))
	}
	var body io.ReadCloser
	err := c.patiently(ctx, "get", manifest.Kind{Version: "v1", Kind: "Log", Plural: "pods/log"}, pod, func() error {
		response, err := c.raw(ctx, http.MethodGet, "pods/"+pod+"/log", query)
		if err != nil {
			return err
		}
		body = response
		return nil
	})
	return body, err
}

// raw asks for a path below the namespace.
func (c *Client) raw(ctx context.Context, method, path string, query url.Values) (io.ReadCloser, error) {
	client, err := c.rest()
	if err != nil {
		return nil, err
	}
	request := client.Verb(method).AbsPath("/api/v1/namespaces/" + c.Namespace + "/" + path)
	for key, values := range query {
		for _, v := range values {
			request = request.Param(key, v)
		}
	}
	return request.Stream(ctx)
}

func (c *Client) rest() (*rest.RESTClient, error) {
	config := *c.config
	config.GroupVersion, config.APIPath = &v1.SchemeGroupVersion, "/api"
	config.NegotiatedSerializer = newSerializer()
	return rest.RESTClientFor(&config)
}

// LastLines are the last lines that a container printed: of the one before, where that was started again and runs by now.
func (c *Client) LastLines(ctx context.Context, pod, container string, n int) []string {
	isAgain := c.runs(ctx, pod, container)
	for _, previous := range []bool{isAgain, !isAgain} {
		body, err := c.Logs(ctx, pod, container, LogOptions{Previous: previous, Tail: n})
		if err != nil {
			continue
		}
		var lines []string
		scanner := bufio.NewScanner(body)
		for scanner.Scan() {
			lines = append(lines, scanner.Text())
		}
		body.Close()
		if len(lines) > 0 && !isLost(lines) {
			return lines
		}
	}
	return nil
}

// isLost says that a kubelet says, in place of a log, that it has it no more.
func isLost(lines []string) bool {
	return len(lines) == 1 && (strings.HasPrefix(lines[0], "unable to retrieve container logs for ") || strings.HasPrefix(lines[0], "failed to try resolving symlinks in path "))
}

// Warning is what the cluster has to complain of.
type Warning struct{ Reason, Message string }

// Warnings are what the cluster has to complain of about an object, the newest last.
func (c *Client) Warnings(ctx context.Context, name string) []Warning {
	list, err := c.of(Event).List(ctx, v1.ListOptions{FieldSelector: "type=Warning,involvedObject.name=" + name})
	if err != nil {
		return nil
	}
	var out []Warning
	for _, e := range list.Items {
		reason, _, _ := unstructured.NestedString(e.Object, "reason")
		message, _, _ := unstructured.NestedString(e.Object, "message")
		out = append(out, Warning{reason, strings.ReplaceAll(message, "\n", " ")})
	}
	return out
}

// WhyKilled says that a container was killed because a probe failed, with what the probe said, or its hook; "" if it was not, as far as
// events tell.
func (c *Client) WhyKilled(ctx context.Context, pod, container string) string {
	list, err := c.of(Event).List(ctx, v1.ListOptions{FieldSelector: "involvedObject.name=" + pod})
	if err != nil {
		return ""
	}
	said := map[string]string{} // by probe
	killer := ""
	for _, e := range list.Items {
		reason, _, _ := unstructured.NestedString(e.Object, "reason")
		message, _, _ := unstructured.NestedString(e.Object, "message")
		field, _, _ := unstructured.NestedString(e.Object, "involvedObject", "fieldPath")
		if field != "spec.containers{"+container+"}" {
			continue
		}
		if reason == "Killing" && message == "FailedPostStartHook" {
			return "killed, as its post_start failed"
		}
		for _, probe := range []string{"startup", "liveness"} {
			switch {
			case reason == "Killing" && strings.Contains(message, "failed "+probe+" probe"):
				killer = probe
			case reason == "Unhealthy" && strings.HasPrefix(strings.ToLower(message), probe+" probe"):
				said[probe] = strings.Join(strings.Fields(message), " ")
			}
		}
	}
	if killer == "" {
		return ""
	}
	why := said[killer]
	if why == "" {
		why = killer + " probe failed"
	}
	return "killed, as its health check failed (" + why + ")"
}

// Process is a command in a container.
type Process struct {
	Pod, Container string
	Command        []string
	Stdin          io.Reader // nil: none
	Stdout, Stderr io.Writer
	TTY            bool
	Sizes          remotecommand.TerminalSizeQueue // of the terminal; nil: none
}

// Exec runs a command in a container. One that ends with a code other than 0 is an *Exited.
func (c *Client) Exec(ctx context.Context, p Process) error {
	client, err := c.rest()
	if err != nil {
		return err
	}
	query := url.Values{"container": {p.Container}, "command": p.Command, "stdout": {"true"}}
	if p.Stdin != nil {
		query.Set("stdin", "true")
	}
	if p.TTY {
		query.Set("tty", "true")
	} else if p.Stderr != nil {
		query.Set("stderr", "true")
	}
	request := client.Post().AbsPath("/api/v1/namespaces/" + c.Namespace + "/pods/" + p.Pod + "/exec")
	for key, values := range query {
		for _, v := range values {
			request = request.Param(key, v)
		}
	}
	executor, err := remotecommand.NewWebSocketExecutor(c.config, http.MethodGet, request.URL().String())
	if err != nil {
		return fmt.Errorf("cannot run a command in %s: %w", p.Pod, err)
	}
	options := remotecommand.StreamOptions{Stdin: p.Stdin, Stdout: p.Stdout, Tty: p.TTY, TerminalSizeQueue: p.Sizes}
	if !p.TTY {
		options.Stderr = p.Stderr
	}
	err = executor.StreamWithContext(ctx, options)
	var code interface{ ExitStatus() int }
	switch {
	case err == nil:
		return nil
	case errors.As(err, &code):
		return &Exited{Code: code.ExitStatus()}
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case strings.Contains(err.Error(), notBegun):
		code, why := whyNotBegun(err.Error())
		return &Exited{code, fmt.Sprintf("cannot run %q in %s (%s): %s", p.Command[0], p.Pod, p.Container, why)}
	}
	return c.explain("create", manifest.Kind{Version: "v1", Kind: "Exec", Plural: "pods/exec"}, p.Pod, err)
}

// Exited is a process that ended with a code other than 0.
type Exited struct {
	Code int
	Why  string // where it was not even begun
}

// Codes of a program that is not there, and of one that can't be run, as a shell has them. Some runtimes give them themselves.
const (
	notFound      = 127
	notExecutable = 126
)

// notBegun is what a kubelet says of a command that the runtime could not begin. The API has a code only for one that has ended; what
// follows are the runtime's own words.
const notBegun = "error executing command in container"

// whyNotBegun is the last of those words, which says the reason, and the code for it.
func whyNotBegun(message string) (code int, why string) {
	message = strings.TrimSuffix(strings.TrimSpace(message), ": unknown") // containerd's code for it
	message = strings.TrimRight(message, ".")
	why = message[strings.LastIndex(message, ": ")+len(": "):]
	if strings.Contains(why, "executable file not found") || strings.Contains(why, "no such file or directory") {
		return notFound, "there is no such program"
	}
	return notExecutable, why
}

// IsMissing says that there is no such program.
func (e *Exited) IsMissing() bool { return e.Why != "" && e.Code == notFound }

func (e *Exited) Error() string {
	if e.Why != "" {
		return e.Why
	}
	return fmt.Sprintf("exited with code %d", e.Code)
}

// IsReady says that a pod gets requests.
func IsReady(pod *Live) bool {
	list, _, _ := unstructured.NestedSlice(pod.Object, "status", "conditions")
	for _, item := range list {
		if c, _ := item.(map[string]any); c["type"] == "Ready" {
			return c["status"] == "True" && pod.GetDeletionTimestamp() == nil
		}
	}
	return false
}
