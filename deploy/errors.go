package deploy

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/orlop/orlop/deploy/cluster"
)

func asConflict(err error, c **cluster.Conflict) bool { return errors.As(err, c) }

// isImmutable says that the API server changes an object in no such way: it has to be made anew.
func isImmutable(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code == http.StatusUnprocessableEntity &&
		(strings.Contains(status.Status().Message, "immutable") || strings.Contains(status.Status().Message, "may not change once set") || strings.Contains(status.Status().Message, "updates to statefulset spec"))
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func itoa(n int) string { return strconv.Itoa(n) }
