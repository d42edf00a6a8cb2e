package deploy

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/deploy/manifest"
	"github.com/orlop/orlop/spec"
)

func asConflict(err error, c **cluster.Conflict) bool { return errors.As(err, c) }

// isImmutable says that the API server changes a field of an object in no such way, so that the object has to be made anew: not
// that somebody's policy refuses a change.
func isImmutable(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Code != http.StatusUnprocessableEntity || status.Status().Details == nil {
		return false
	}
	for _, cause := range status.Status().Details.Causes {
		switch {
		case cause.Field == "spec.selector", cause.Field == "roleRef", strings.HasPrefix(cause.Field, "spec.clusterIP"):
			return true
		case cause.Field == "spec" && strings.Contains(cause.Message, "updates to statefulset spec"):
			return true
		}
	}
	return false
}

// placed says of a right that is missing what of the stack file needs it: the first resource that has such an object.
func placed(err error, set *manifest.Set, places spec.Places) error {
	var missing *cluster.Missing
	if set == nil || !errors.As(err, &missing) {
		return err
	}
	for _, r := range set.Resources {
		for _, o := range r.Objects {
			name := o.Kind.Plural
			if o.Kind.Group != "" {
				name += "." + o.Kind.Group
			}
			if name != missing.Resource {
				continue
			}
			switch where := path(r); {
			case r.Kind == manifest.OfGate:
				missing.For = "what waits for depends_on (--no-gates goes without it)"
			case o.Kind == manifest.Ingress || o.Kind == manifest.HTTPRoute:
				missing.For = where + ".x-orlop.expose" + placeOf(places.Nearest(where+".x-orlop.expose"))
			default:
				missing.For = where + placeOf(places.Nearest(where))
			}
			return err
		}
	}
	return err
}

func placeOf(p spec.Place) string {
	if p.Line == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s:%d)", p.File[strings.LastIndexByte(p.File, '/')+1:], p.Line)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func itoa(n int) string { return strconv.Itoa(n) }

// joined are errors as one; what several say is said once.
func joined(errs []error) error {
	said := map[string]bool{}
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool {
		if err == nil || said[err.Error()] {
			return true
		}
		said[err.Error()] = true
		return false
	})...)
}
