package cluster

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/orlop/orlop/deploy/manifest"
)

func apiContext(namespace string) api.Context { return api.Context{Namespace: namespace} }

// Missing is a right that the user does not have.
type Missing struct {
	Verb, Resource, Namespace, User string
	For                             string // what of the stack file needs it, with its place; may be ""
	err                             error
}

func (e *Missing) Error() string {
	user := ""
	if e.User != "" {
		user = " " + e.User
	}
	needed := ""
	if e.For != "" {
		needed = ", which " + e.For + " needs"
	}
	return fmt.Sprintf("the user%s may not %s %s in namespace %s%s: a Role there needs the verb %q for %s",
		user, e.Verb, e.Resource, e.Namespace, needed, e.Verb, e.Resource)
}

// Unwrap is the API server's own error.
func (e *Missing) Unwrap() error { return e.err }

// Conflict is an object with fields that others have, with other values than ours.
type Conflict struct {
	Fields []HeldField
	err    error
}

// HeldField is a field that another manager has.
type HeldField struct {
	Path    string // ".spec.replicas"
	Manager string // "kubectl-edit"
}

func (e *Conflict) Error() string {
	var list []string
	for _, f := range e.Fields {
		list = append(list, fmt.Sprintf("%s is held by %s", strings.TrimPrefix(f.Path, "."), f.Manager))
	}
	return strings.Join(list, ", ") + ": --force-conflicts takes it over"
}

// Unwrap is the API server's own error.
func (e *Conflict) Unwrap() error { return e.err }

var heldBy = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`conflict with "([^"]*)"`) })

// conflictOf makes a *Conflict of the error of an apply, where it is one.
func conflictOf(err error) error {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Reason != metav1.StatusReasonConflict || status.Status().Details == nil {
		return err
	}
	c := &Conflict{err: err}
	for _, cause := range status.Status().Details.Causes {
		if cause.Type != metav1.CauseTypeFieldManagerConflict {
			continue
		}
		manager := "another"
		if m := heldBy().FindStringSubmatch(cause.Message); m != nil {
			manager = m[1]
		}
		c.Fields = append(c.Fields, HeldField{cause.Field, manager})
	}
	if len(c.Fields) == 0 {
		return err
	}
	return c
}

func isNotFound(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code == http.StatusNotFound
}

// IsTaken says that an object was to be created and is there already.
func IsTaken(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Reason == metav1.StatusReasonAlreadyExists
}

// IsStale says that an object was to be written and has changed meanwhile.
func IsStale(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Reason == metav1.StatusReasonConflict
}

var forbidden = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`User "([^"]*)" cannot (\S+) resource "([^"]*)" in API group "([^"]*)"`)
})

// explain is the error of a request in words.
func (c *Client) explain(verb string, k manifest.Kind, name string, err error) error {
	what := strings.TrimSpace(fmt.Sprintf("%s %s %s", verb, singular(k), name))
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		var of *url.Error
		if errors.As(err, &of) {
			err = of.Err
		}
		return fmt.Errorf("cannot reach the API server %s (context %s): %w", c.Server, c.Context, err)
	}
	s := status.Status()
	switch {
	case s.Code == http.StatusUnauthorized:
		return fmt.Errorf("the API server %s does not know the user of context %s: log in there anew: %w", c.Server, c.Context, err)
	case s.Code == http.StatusForbidden && forbidden().MatchString(s.Message):
		m := forbidden().FindStringSubmatch(s.Message)
		resource := m[3]
		if m[4] != "" {
			resource += "." + m[4]
		}
		return &Missing{Verb: m[2], Resource: resource, Namespace: c.Namespace, User: m[1], err: err}
	case s.Code == http.StatusForbidden:
		return &refused{fmt.Sprintf("cannot %s: the cluster refuses it: %s", what, tail(s.Message)), err}
	case s.Code == http.StatusNotFound && strings.Contains(s.Message, "namespaces") && strings.Contains(s.Message, c.Namespace):
		return &refused{fmt.Sprintf("there is no namespace %s on %s: \"orlop deploy --create-namespace\" makes it, --namespace names another", c.Namespace, c.Context), err}
	case s.Code == http.StatusNotFound && name != "" && verb == "patch":
		return &refused{fmt.Sprintf("the cluster knows no %s: its extension is not installed", k.GroupKind()), err}
	}
	return &refused{fmt.Sprintf("cannot %s: %s", what, causes(&s)), err}
}

// causes are why an object is not valid, a line in all: the API server adds what it would have changed.
func causes(s *metav1.Status) string {
	if s.Code != http.StatusUnprocessableEntity || s.Details == nil || len(s.Details.Causes) == 0 {
		return s.Message
	}
	var list []string
	for _, c := range s.Details.Causes {
		first, _, _ := strings.Cut(c.Message, "\n")
		list = append(list, strings.TrimPrefix(c.Field+": ", ": ")+first)
	}
	return strings.Join(list, "; ")
}

// IsInvalid says that the API server takes no such object.
func IsInvalid(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code == http.StatusUnprocessableEntity
}

// IsRefused says that the API server does not take an object, as it is not valid or against a policy: not that the user lacks a right.
func IsRefused(err error) bool {
	var r *refused
	return errors.As(err, &r) && IsAnswer(err)
}

// IsAnswer says that the API server has said no: what was asked for has not been done.
func IsAnswer(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code/100 == 4
}

// refused is an error of the API server in our words.
type refused struct {
	text string
	err  error
}

func (e *refused) Error() string { return e.text }
func (e *refused) Unwrap() error { return e.err }

// tail is what a message says after the name of the object.
func tail(message string) string {
	if i := strings.Index(message, "forbidden: "); i >= 0 {
		return message[i+len("forbidden: "):]
	}
	return message
}

func singular(k manifest.Kind) string { return strings.ToLower(k.Kind) }
