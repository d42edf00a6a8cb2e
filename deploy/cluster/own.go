package cluster

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/orlop/orlop/deploy/manifest"
)

// Own makes the fields of an object that we have applied ours alone: what another has written once with the same value, as by kubectl, is in
// the way of each later change of it. Fields of others, and those of scale and status, stay theirs.
func (c *Client) Own(ctx context.Context, k manifest.Kind, live *Live) error {
	const tries = 50 // controllers write, too, most of all to what has just changed
	for i := 1; ; i++ {
		left, isOther, err := ownedAlone(live.GetManagedFields())
		if err != nil || !isOther {
			return err
		}
		patch, err := json.Marshal([]map[string]any{
			{"op": "replace", "path": "/metadata/managedFields", "value": left},
			{"op": "replace", "path": "/metadata/resourceVersion", "value": live.GetResourceVersion()},
		})
		if err != nil {
			return fmt.Errorf("internal error: %w", err)
		}
		err = c.patiently(ctx, "patch", k, live.GetName(), func() error {
			c.count(false)
			_, err := c.of(k).Patch(ctx, live.GetName(), types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: Manager})
			return err
		})
		if !IsStale(err) || i == tries {
			return err
		}
		if live, err = c.Get(ctx, k, live.GetName()); err != nil || live == nil {
			return err
		}
	}
}

// IsShared says that others have fields of an object that we have applied.
func IsShared(live *Live) bool {
	_, isOther, err := ownedAlone(live.GetManagedFields())
	return err == nil && isOther
}

// ownedAlone are the managed fields of an object without those of others that we have applied; isOther says that there are any.
func ownedAlone(entries []metav1.ManagedFieldsEntry) (left []metav1.ManagedFieldsEntry, isOther bool, err error) {
	var ours map[string]any
	isOurs := func(e *metav1.ManagedFieldsEntry) bool {
		return e.Manager == Manager && e.Operation == metav1.ManagedFieldsOperationApply && e.Subresource == ""
	}
	for i := range entries {
		if e := &entries[i]; isOurs(e) && e.FieldsV1 != nil {
			if err := json.Unmarshal(e.FieldsV1.GetRawBytes(), &ours); err != nil {
				return nil, false, fmt.Errorf("its managed fields can't be read: %w", err)
			}
		}
	}
	for _, e := range entries {
		if isOurs(&e) || e.Subresource != "" || e.FieldsV1 == nil {
			left = append(left, e)
			continue
		}
		var theirs map[string]any
		if err := json.Unmarshal(e.FieldsV1.GetRawBytes(), &theirs); err != nil {
			return nil, false, fmt.Errorf("the managed fields of %s can't be read: %w", e.Manager, err)
		}
		rest, isLess := without(theirs, ours)
		isOther = isOther || isLess
		if len(rest) == 0 {
			continue
		}
		raw, err := json.Marshal(rest)
		if err != nil {
			return nil, false, fmt.Errorf("internal error: %w", err)
		}
		e.FieldsV1 = metav1.NewFieldsV1(string(raw))
		left = append(left, e)
	}
	return left, isOther, nil
}

// without are fields, as FieldsV1 nests them, but those that others are, too. A field is a leaf.
func without(fields, others map[string]any) (rest map[string]any, isLess bool) {
	rest = map[string]any{}
	for name, value := range fields {
		other, has := others[name].(map[string]any)
		below, _ := value.(map[string]any)
		switch {
		case !has, len(below) == 0 && len(other) > 0:
			rest[name] = value
		case len(below) == 0:
			isLess = true
		default:
			left, less := without(below, other)
			isLess = isLess || less
			if len(left) > 0 {
				rest[name] = left
			}
		}
	}
	return rest, isLess
}
