// Package cluster speaks with the API server of a Kubernetes cluster: it applies, lists, watches and
// removes objects, and says in words what went wrong. It knows nothing of projects.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/orlop/orlop/deploy/manifest"
)

// Manager is the field manager that what we apply belongs to.
const Manager = "orlop"

// Options say which cluster.
type Options struct {
	Context   string // "": the current one
	Namespace string // "": the context's
	Agent     string // as which requests are made, "orlop/1.2"
}

// Client is a connection to a cluster, for one namespace of it.
type Client struct {
	Context, Namespace, Server string

	dyn     dynamic.Interface
	config  *rest.Config
	writes  atomic.Int64 // requests that changed something, or would have
	reached atomic.Bool  // the API server has answered
}

// Connect reads the kubeconfig by kubectl's rules. It asks the cluster nothing.
func Connect(o Options) (*Client, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{
		CurrentContext: o.Context, Context: apiContext(o.Namespace),
	})
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, fmt.Errorf("cannot read the kubeconfig: %w", err)
	}
	name := o.Context
	if name == "" {
		name = raw.CurrentContext
	}
	config, err := loader.ClientConfig()
	if o.Context != "" && len(raw.Contexts) > 0 && raw.Contexts[o.Context] == nil {
		return nil, fmt.Errorf("the kubeconfig has no context %q: it has %s", o.Context, strings.Join(slices.Sorted(maps.Keys(raw.Contexts)), ", "))
	}
	if clientcmd.IsEmptyConfig(err) && name == "" && len(raw.Contexts) > 0 {
		return nil, fmt.Errorf("the kubeconfig has no current context: name one with --context: %s", strings.Join(slices.Sorted(maps.Keys(raw.Contexts)), ", "))
	}
	if clientcmd.IsEmptyConfig(err) {
		return nil, errors.New("no cluster is known: write a kubeconfig (~/.kube/config or KUBECONFIG), or name a context with --context")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use the kubeconfig: %w", err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, fmt.Errorf("cannot use the kubeconfig: %w", err)
	}
	config.QPS = -1 // the API server holds back who asks too much
	config.UserAgent = o.Agent
	config.WarningHandlerWithContext = rest.NoWarnings{}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("cannot use the kubeconfig: %w", err)
	}
	if name == "" {
		name = "in-cluster"
	}
	return &Client{Context: name, Namespace: namespace, Server: config.Host, dyn: dyn, config: config}, nil
}

// Where is the place as users read it: "kind-dev/shop".
func (c *Client) Where() string { return c.Context + "/" + c.Namespace }

// Writes is how many requests that change something were made.
func (c *Client) Writes() int { return int(c.writes.Load()) }

func resource(k manifest.Kind) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: k.Group, Version: k.Version, Resource: k.Plural}
}

func (c *Client) of(k manifest.Kind) dynamic.ResourceInterface {
	return c.dyn.Resource(resource(k)).Namespace(c.Namespace)
}

// Live is an object as the API server has it.
type Live = unstructured.Unstructured

// List gives the objects of a kind that have labels, and the version of the list. A kind that the cluster does
// not know has none.
func (c *Client) List(ctx context.Context, k manifest.Kind, selector string) ([]Live, error) {
	var out []Live
	err := c.patiently(ctx, "list", k, "", func() error {
		out = nil
		opts := metav1.ListOptions{LabelSelector: selector, Limit: 500}
		for {
			list, err := c.of(k).List(ctx, opts)
			if err != nil {
				return err
			}
			out = append(out, list.Items...)
			if opts.Continue = list.GetContinue(); opts.Continue == "" {
				return nil
			}
		}
	})
	if isNotFound(err) {
		return nil, nil
	}
	return out, err
}

// Get gives an object; nil if there is none.
func (c *Client) Get(ctx context.Context, k manifest.Kind, name string) (*Live, error) {
	var out *Live
	err := c.patiently(ctx, "get", k, name, func() (err error) {
		out, err = c.of(k).Get(ctx, name, metav1.GetOptions{})
		return err
	})
	if isNotFound(err) {
		return nil, nil
	}
	return out, err
}

// Applying says how an object is applied.
type Applying struct {
	DryRun bool // nothing is changed
	Force  bool // fields of others are taken over
}

// Apply applies an object server-side. Fields that others have, with other values, are a *Conflict.
func (c *Client) Apply(ctx context.Context, k manifest.Kind, name string, body map[string]any, how Applying) (*Live, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("internal error: %w", err)
	}
	opts := metav1.PatchOptions{FieldManager: Manager, Force: &how.Force, FieldValidation: "Strict"}
	if how.DryRun {
		opts.DryRun = []string{metav1.DryRunAll}
	}
	var out *Live
	err = c.patiently(ctx, "patch", k, name, func() (err error) {
		c.count(how.DryRun)
		out, err = c.of(k).Patch(ctx, name, types.ApplyPatchType, data, opts)
		return err
	})
	return out, conflictOf(err)
}

func (c *Client) count(dryRun bool) {
	if !dryRun {
		c.writes.Add(1)
	}
}

// Create creates an object that must not be there.
func (c *Client) Create(ctx context.Context, k manifest.Kind, name string, body map[string]any) (*Live, error) {
	var out *Live
	err := c.patiently(ctx, "create", k, name, func() (err error) {
		c.count(false)
		out, err = c.of(k).Create(ctx, &Live{Object: body}, metav1.CreateOptions{FieldManager: Manager, FieldValidation: "Strict"})
		return err
	})
	return out, err
}

// Replace writes an object as a whole; it must be the version that it was read in.
func (c *Client) Replace(ctx context.Context, k manifest.Kind, object *Live) (*Live, error) {
	var out *Live
	err := c.patiently(ctx, "update", k, object.GetName(), func() (err error) {
		c.count(false)
		out, err = c.of(k).Update(ctx, object, metav1.UpdateOptions{FieldManager: Manager})
		return err
	})
	return out, err
}

// Merge changes some fields of an object.
func (c *Client) Merge(ctx context.Context, k manifest.Kind, name string, patch map[string]any) error {
	data, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("internal error: %w", err)
	}
	return c.patiently(ctx, "patch", k, name, func() error {
		c.count(false)
		_, err := c.of(k).Patch(ctx, name, types.MergePatchType, data, metav1.PatchOptions{FieldManager: Manager})
		return err
	})
}

// Remove removes an object if it is the one that has this UID; what it has made goes with it. One that is not there is
// no error.
func (c *Client) Remove(ctx context.Context, k manifest.Kind, name, uid string) error {
	policy := metav1.DeletePropagationBackground
	opts := metav1.DeleteOptions{PropagationPolicy: &policy}
	if uid != "" {
		id := types.UID(uid)
		opts.Preconditions = &metav1.Preconditions{UID: &id}
	}
	err := c.patiently(ctx, "delete", k, name, func() error {
		c.count(false)
		return c.of(k).Delete(ctx, name, opts)
	})
	if isNotFound(err) {
		return nil
	}
	return err
}

// Namespaces.
var namespaces = manifest.Kind{Version: "v1", Kind: "Namespace", Plural: "namespaces"}

// MakeNamespace makes the namespace, unless it is there.
func (c *Client) MakeNamespace(ctx context.Context) error {
	body := map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": c.Namespace}}
	err := c.patiently(ctx, "create", namespaces, c.Namespace, func() error {
		c.count(false)
		_, err := c.dyn.Resource(resource(namespaces)).Create(ctx, &Live{Object: body}, metav1.CreateOptions{FieldManager: Manager})
		return err
	})
	if IsTaken(err) {
		return nil
	}
	return err
}

// How long an API server that is overloaded, or away for a moment, is asked again; and one that has never answered.
const (
	patience      = 30 * time.Second
	firstPatience = 3 * time.Second
)

// patiently makes a request, and again where the API server asks for that or could not be reached. All that we ask
// may be asked twice.
func (c *Client) patiently(ctx context.Context, verb string, k manifest.Kind, name string, request func() error) error {
	pause, began := 100*time.Millisecond, time.Now()
	for {
		err := request()
		var answer apierrors.APIStatus
		if err == nil || errors.As(err, &answer) {
			c.reached.Store(true)
		}
		if err == nil {
			return nil
		}
		most := patience
		if !c.reached.Load() {
			most = firstPatience
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !isPassing(err) || time.Since(began) > most {
			return c.explain(verb, k, name, err)
		}
		if after, ok := apierrors.SuggestsClientDelay(err); ok {
			pause = max(pause, min(time.Duration(after)*time.Second, 5*time.Second))
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
		pause = min(2*pause, 2*time.Second)
	}
}

// isPassing says that a failure may be over at the next try.
func isPassing(err error) bool {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		switch code := status.Status().Code; {
		case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable, code == http.StatusGatewayTimeout, code == http.StatusBadGateway:
			return true
		case code == http.StatusInternalServerError: // also where an admission webhook is away
			return true
		}
		return false
	}
	var of *url.Error
	var network net.Error
	return errors.As(err, &of) && !strings.Contains(err.Error(), "x509:") && !strings.Contains(err.Error(), "no such host") || errors.As(err, &network)
}
