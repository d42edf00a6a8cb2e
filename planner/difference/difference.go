// Package difference tells in what two documents differ, field by field, as a user reads
// it. It decides nothing about what a difference means.
package difference

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
)

// Key compares one key of a service.
func Key(path, key string, a, b any, places spec.Places) []Reason {
	old, aok := a.([]any)
	want, bok := b.([]any)
	if slices.Contains(unordered, key) && (aok || a == nil) && (bok || b == nil) {
		return Lists(path, key, old, want, places)
	}
	if key == "networks" {
		return joined(path, a, b, places)
	}
	return Trees(path, OrUnset(a), OrUnset(b), places)
}

// joined reports the networks that a service joins or leaves, and what
// it says about those that it stays in.
func joined(path string, a, b any, places spec.Places) []Reason {
	old, _ := a.(map[string]any)
	want, _ := b.(map[string]any)
	var rs []Reason
	for _, key := range UnionKeys(old, want) {
		was, before := old[key]
		is, now := want[key]
		at := path + "." + key
		switch {
		case !before:
			rs = append(rs, Reason{Path: at, Text: at + ": joined", Place: places.Nearest(at)})
		case !now:
			rs = append(rs, Reason{Path: at, Text: at + ": left", Place: places.Nearest(path)})
		default:
			rs = append(rs, Trees(at, was, is, places)...)
		}
	}
	return rs
}

// Unset stands for a key that is not there; one that is there may be null:
// a network joined with nothing to say about it, a variable taken away.
type Unset struct{}

// OrUnset is a value, Unset in place of nil.
func OrUnset(v any) any {
	if v == nil {
		return Unset{}
	}
	return v
}

// Trees walks two JSON trees and reports each leaf that differs.
func Trees(path string, a, b any, places spec.Places) []Reason {
	am, aok := a.(map[string]any)
	bm, bok := b.(map[string]any)
	if aok && (bok || isVoid(b)) || bok && isVoid(a) {
		var rs []Reason
		for _, k := range UnionKeys(am, bm) {
			rs = append(rs, Trees(path+"."+k, child(am, k), child(bm, k), places)...)
		}
		if len(rs) == 0 && (a == Unset{} || b == Unset{}) {
			rs = append(rs, Of(path, a, b, places))
		}
		return rs
	}
	if Same(a, b) {
		return nil
	}
	return []Reason{Of(path, a, b, places)}
}

// Part is a key of a mapping, nil where there is none.
func Part(v any, key string) any {
	m, _ := v.(map[string]any)
	return m[key]
}

func isVoid(v any) bool { return v == nil || v == Unset{} }

func child(m map[string]any, k string) any {
	if v, ok := m[k]; ok {
		return v
	}
	return Unset{}
}

// Of is the reason that a field differs.
func Of(path string, a, b any, places spec.Places) Reason {
	return Reason{Path: path, From: Text(a), To: Text(b), Place: places.Nearest(path)}
}

// Same says that two values read the same.
func Same(a, b any) bool { return Text(a) == Text(b) }

// Text is a value as a user may read it: JSON, and nothing for what is unset.
func Text(v any) string {
	if v == (Unset{}) {
		return ""
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSuffix(buf.String(), "\n")
}

// Quote is a text as JSON.
func Quote(s string) string { return Text(s) }

// Tree is the JSON of a value as maps, slices and scalars.
func Tree(v any) map[string]any {
	b, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var m map[string]any
	if dec.Decode(&m) != nil {
		return nil
	}
	return m
}

// UnionKeys are the keys of either mapping, sorted.
func UnionKeys(a, b map[string]any) []string {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	return slices.Compact(keys)
}
