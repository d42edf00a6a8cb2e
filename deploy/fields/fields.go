// Package fields compares, finds and takes out the fields of objects: maps, lists and values as the API server writes them. What the
// objects are it does not know.
package fields

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Drift is a field of an object that is not as it was applied.
type Drift struct {
	Path       string // ".spec.replicas"
	Want, Have any    // Have is nil where it is not there
}

func (d Drift) String() string {
	have := "unset"
	if d.Have != nil {
		have = Short(d.Have)
	}
	return fmt.Sprintf("%s: %s -> %s", strings.TrimPrefix(d.Path, "."), have, Short(d.Want))
}

// Short is a value for people.
func Short(v any) string {
	const most = 60
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if len(data) > most {
		return string(data[:most]) + "..."
	}
	return string(data)
}

// Drifts tells which of the fields that are wanted an object has with other values. What others have added is
// no drift.
func Drifts(path string, want, have any) []Drift {
	switch w := want.(type) {
	case map[string]any:
		h, is := have.(map[string]any)
		if !is {
			if len(w) == 0 && have == nil {
				return nil
			}
			return []Drift{{path, want, have}}
		}
		var out []Drift
		for _, key := range slices.Sorted(maps.Keys(w)) {
			out = append(out, Drifts(path+"."+key, w[key], h[key])...)
		}
		return out
	case []any:
		h, is := have.([]any)
		if !is && len(w) > 0 {
			return []Drift{{path, want, have}}
		}
		if key := keyOf(w); key != "" {
			return keyed(path, key, w, h)
		}
		if len(w) != len(h) {
			return []Drift{{path, want, have}}
		}
		var out []Drift
		for i := range w {
			out = append(out, Drifts(fmt.Sprintf("%s[%d]", path, i), w[i], h[i])...)
		}
		return out
	}
	if isSame(want, have) {
		return nil
	}
	return []Drift{{path, want, have}}
}

// keyOf is the field by which the API server tells the entries of a list apart; "" for a list that is one value.
func keyOf(list []any) string {
	for _, key := range []string{"name", "mountPath", "containerPort", "ip"} {
		seen := map[string]bool{}
		for _, item := range list {
			m, _ := item.(map[string]any)
			v, has := m[key]
			if !has || seen[fmt.Sprint(v)] {
				seen = nil
				break
			}
			seen[fmt.Sprint(v)] = true
		}
		if len(seen) > 0 {
			return key
		}
	}
	return ""
}

func keyed(path, key string, want, have []any) []Drift {
	byKey := map[string]any{}
	for _, item := range have {
		if m, is := item.(map[string]any); is {
			byKey[fmt.Sprint(m[key])] = m
		}
	}
	var out []Drift
	for _, item := range want {
		value := item.(map[string]any)[key]
		quoted := fmt.Sprint(value)
		if s, is := value.(string); is {
			quoted = fmt.Sprintf("%q", s)
		}
		out = append(out, Drifts(fmt.Sprintf("%s[%s=%s]", path, key, quoted), item, byKey[fmt.Sprint(value)])...)
	}
	return out
}

func isSame(a, b any) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	x, isX := Number(a)
	y, isY := Number(b)
	return isX && isY && x == y || (a == "" || a == false) && b == nil
}

// Number is a number of JSON, whichever type it was read as.
func Number(v any) (float64, bool) {
	switch n := v.(type) {
	case int64:
		return float64(n), true
	case float64:
		return n, true
	case int:
		return float64(n), true
	}
	return 0, false
}

// Content is an object without what the API server keeps beside it.
func Content(o map[string]any) map[string]any {
	out := maps.Clone(o)
	delete(out, "status")
	meta, _ := out["metadata"].(map[string]any)
	meta = maps.Clone(meta)
	for _, key := range []string{"managedFields", "resourceVersion", "generation", "creationTimestamp", "uid"} {
		delete(meta, key)
	}
	out["metadata"] = meta
	return out
}

// Without is an object without some of its fields, by paths as the API server writes them:
// .spec.template.spec.containers[name="web"].image.
func Without(body map[string]any, paths []string) map[string]any {
	out := Copy(body).(map[string]any)
	for _, path := range paths {
		cut(out, steps(out, path))
	}
	return out
}

// steps are the parts of a path into a value: keys, and "[name=\"web\"]" or "[0]". Keys may have dots of their own, which nothing
// escapes: the longest key that is there is meant.
func steps(v any, path string) []string {
	var out []string
	for path != "" {
		step := ""
		switch path[0] {
		case '.':
			step, path = key(v, path[1:])
		case '[':
			end := strings.IndexByte(path, ']')
			if end < 0 {
				return out
			}
			step, path = path[:end+1], path[end+1:]
		default:
			return out
		}
		out = append(out, step)
		v = At(v, []string{step})
	}
	return out
}

// key is the key that a path begins with, and what follows.
func key(v any, path string) (key, rest string) {
	m, _ := v.(map[string]any)
	for k := range m {
		if after, is := strings.CutPrefix(path, k); is && len(k) > len(key) && (after == "" || after[0] == '.' || after[0] == '[') {
			key, rest = k, after
		}
	}
	if key != "" {
		return key, rest
	}
	end := strings.IndexAny(path, ".[")
	if end < 0 {
		return path, ""
	}
	return path[:end], path[end:]
}

// LookUp is the value that a path leads to.
func LookUp(v any, path string) any { return At(v, steps(v, path)) }

// cut removes what a path leads to.
func cut(v any, path []string) any {
	if len(path) == 0 {
		return v
	}
	switch of := v.(type) {
	case map[string]any:
		if len(path) == 1 {
			delete(of, path[0])
			return of
		}
		if _, has := of[path[0]]; has {
			of[path[0]] = cut(of[path[0]], path[1:])
		}
		return of
	case []any:
		for i, item := range of {
			if !isMeant(path[0], item, i) {
				continue
			}
			if len(path) == 1 {
				return slices.Delete(of, i, i+1)
			}
			of[i] = cut(item, path[1:])
		}
	}
	return v
}

// isMeant says that "[name=\"web\"]" is about an entry of a list.
func isMeant(step string, item any, index int) bool {
	text := strings.Trim(step, "[]")
	if text == fmt.Sprint(index) {
		return true
	}
	m, is := item.(map[string]any)
	if !is {
		return false
	}
	for _, pair := range strings.Split(text, ",") {
		key, value, _ := strings.Cut(pair, "=")
		if fmt.Sprint(m[key]) != strings.Trim(value, `"`) {
			return false
		}
	}
	return true
}

// At is the value that a path leads to.
func At(v any, path []string) any {
	for _, step := range path {
		switch of := v.(type) {
		case map[string]any:
			v = of[step]
		case []any:
			i := -1
			for n, item := range of {
				if isMeant(step, item, n) {
					i = n
				}
			}
			if i < 0 {
				return nil
			}
			v = of[i]
		default:
			return nil
		}
	}
	return v
}

// Copy is a value that shares nothing with another.
func Copy(v any) any {
	switch of := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(of))
		for k, item := range of {
			out[k] = Copy(item)
		}
		return out
	case []any:
		out := make([]any, len(of))
		for i, item := range of {
			out[i] = Copy(item)
		}
		return out
	}
	return v
}
