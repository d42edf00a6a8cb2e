package stackfile

import (
	"context"
	"strings"
	"testing"
)

// TestWhatDoesNotFitTogetherCanBeRead: if that is asked for. What can't be read is a mistake
// all the same.
func TestWhatDoesNotFitTogetherCanBeRead(t *testing.T) {
	load := func(text string, free bool) error {
		_, _, err := Load(context.Background(), Options{
			Files: []string{"-"}, Stdin: strings.NewReader(text), Dir: t.TempDir(), Name: "shop", Environ: map[string]string{}, SpareContents: true, NoConsistency: free,
		})
		return err
	}
	for name, text := range map[string]string{
		"no image":           "services: {a: {command: x}}",
		"no such service":    "services: {a: {image: x, depends_on: [b], links: [c], volumes_from: [d]}}",
		"no such namespace":  "services: {a: {image: x, network_mode: 'service:b', ipc: 'service:c', pid: 'service:d'}}",
		"no such resource":   "services: {a: {image: x, networks: [n], volumes: ['v:/v'], secrets: [s], configs: [c], models: [m]}}",
		"a ring":             "services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}",
		"two of a name":      "services: {a: {image: x, container_name: n}, b: {image: x, container_name: n}}",
		"no such build":      "services: {a: {build: {context: ., additional_contexts: {b: 'service:b'}}}}",
		"no source":          "services: {a: {image: x, secrets: [s]}}\nsecrets: {s: {}}",
		"a provider of none": "services: {a: {provider: {options: {x: y}}}}",
		"a job of none":      "services: {a: {image: x}}\njobs: {j: {command: x}}",
	} {
		if load(text, false) == nil {
			t.Errorf("%s is no mistake: the case says nothing", name)
		}
		if err := load(text, true); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if load("services: {a: {prots: 1}}", true) == nil {
		t.Error("an unknown key is read")
	}
}
