package stackfile

import (
	"bytes"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"gopkg.in/yaml.v3"

	"github.com/orlop/orlop/spec/schema"
)

// engineScripts are the tests that run stack files against the real engine.
var engineScripts = []string{"../../e2e/keys/script/*.txtar", "../../e2e/testdata/script/*.txtar", "../../e2e/faults/script/*.txtar"}

// testedBy are the rows of the table that stack files of scripts have, by their paths,
// each with the first script that has it.
func testedBy(t testing.TB) map[string]string {
	t.Helper()
	tested := map[string]string{}
	for _, pattern := range engineScripts {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("there are no scripts in %s: %v", pattern, err)
		}
		for _, path := range paths {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			mark := func(row string) {
				if tested[row] == "" {
					tested[row] = strings.TrimPrefix(path, "../../")
				}
			}
			for _, f := range archive.Files {
				if ext := filepath.Ext(f.Name); ext == ".yaml" || ext == ".yml" {
					markFile(f.Data, mark)
				}
			}
		}
	}
	return tested
}

// markFile marks the rows of a stack file; of one that is no YAML, none.
func markFile(data []byte, mark func(row string)) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		if decoder.Decode(&doc) != nil {
			return
		}
		if len(doc.Content) == 1 {
			markObject(doc.Content[0], schema.Root(), "", mark)
		}
	}
}

// markObject marks the rows of a mapping with known keys.
func markObject(n *yaml.Node, keys []schema.Key, prefix string, mark func(row string)) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := schema.Find(keys, n.Content[i].Value)
		if k == nil {
			continue
		}
		row := prefix + k.Name
		mark(row)
		separator := separatorOf(k)
		for _, child := range entriesOf(n.Content[i+1], separator == ".*.") {
			markObject(child, k.Keys, row+separator, mark)
		}
	}
}

// entriesOf are the mappings of a value: its own, or those of a list or a mapping of
// names.
func entriesOf(n *yaml.Node, isNamed bool) []*yaml.Node {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case n.Kind == yaml.SequenceNode:
		return n.Content
	case n.Kind == yaml.MappingNode && isNamed:
		var values []*yaml.Node
		for i := 1; i < len(n.Content); i += 2 {
			values = append(values, n.Content[i])
		}
		return values
	}
	return []*yaml.Node{n}
}

// TestEachRowIsRun holds that each key which is carried out is in a stack file that a
// test runs against the real engine, but for those that say why they can't be.
func TestEachRowIsRun(t *testing.T) {
	tested := testedBy(t)
	excused := maps.Clone(notRun)
	eachRow(schema.Root(), "", func(k schema.Key, path string) {
		switch {
		case k.Level != schema.Supported && k.Level != schema.LoadOnly:
		case tested[path] != "" && excused[path] != "":
			t.Errorf("%s is run by %s, and is excused as well", path, tested[path])
		case tested[path] == "" && excused[path] == "":
			t.Errorf("%s is run by no script", path)
		}
		delete(excused, path)
	})
	for _, path := range slices.Sorted(maps.Keys(excused)) {
		t.Errorf("%s is excused, and no row", path)
	}
}

// notRun are the rows that no script runs, and why.
var notRun = map[string]string{
	"services.*.blkio_config.weight_device":                         needsBFQ,
	"services.*.blkio_config.weight_device[].path":                  needsBFQ,
	"services.*.blkio_config.weight_device[].weight":                needsBFQ,
	"services.*.cpu_rt_period":                                      needsRealTime,
	"services.*.cpu_rt_runtime":                                     needsRealTime,
	"services.*.deploy.resources.reservations.devices":              needsGPU,
	"services.*.deploy.resources.reservations.devices.capabilities": needsGPU,
	"services.*.deploy.resources.reservations.devices.count":        needsGPU,
	"services.*.deploy.resources.reservations.devices.device_ids":   needsGPU,
	"services.*.deploy.resources.reservations.devices.driver":       needsGPU,
	"services.*.gpus.capabilities":                                  needsGPU,
	"services.*.gpus.count":                                         needsGPU,
	"services.*.gpus.device_ids":                                    needsGPU,
}

const (
	needsRealTime = "unit tests alone: it needs a kernel with real-time groups"
	needsBFQ      = "unit tests alone: it needs a disk with the BFQ scheduler"
	needsGPU      = "unit tests alone: it needs devices of such a driver"
)
