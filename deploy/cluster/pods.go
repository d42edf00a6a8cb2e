package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// defaultContainer is the annotation by which kubectl, too, knows which container of several is meant.
const defaultContainer = "kubectl.kubernetes.io/default-container"

// Running is the container of a pod in which a command can be run: the one that is named, the pod's default, or the first. The pod has to run.
func (c *Client) Running(ctx context.Context, pod, container string) (string, error) {
	object, err := c.Get(ctx, Pod, pod)
	if err != nil {
		return "", err
	}
	if object == nil {
		return "", fmt.Errorf("there is no pod %s in namespace %s on %s", pod, c.Namespace, c.Context)
	}
	if phase, _, _ := unstructured.NestedString(object.Object, "status", "phase"); phase != "Running" {
		return "", fmt.Errorf("the pod %s in namespace %s does not run: it is %s", pod, c.Namespace, strings.ToLower(phase))
	}
	var names []string
	list, _, _ := unstructured.NestedSlice(object.Object, "spec", "containers")
	for _, item := range list {
		of, _ := item.(map[string]any)
		name, _ := of["name"].(string)
		names = append(names, name)
	}
	if container == "" {
		container = object.GetAnnotations()[defaultContainer]
	}
	switch {
	case container == "" && len(names) > 0:
		return names[0], nil
	case !slices.Contains(names, container):
		return "", fmt.Errorf("the pod %s has no container %s: it has %s", pod, container, strings.Join(names, ", "))
	}
	return container, nil
}

// runs says that a container of a pod runs, as far as the API server knows.
func (c *Client) runs(ctx context.Context, pod, container string) bool {
	object, err := c.Get(ctx, Pod, pod)
	if err != nil || object == nil {
		return false
	}
	inits, _, _ := unstructured.NestedSlice(object.Object, "status", "initContainerStatuses")
	mains, _, _ := unstructured.NestedSlice(object.Object, "status", "containerStatuses")
	for _, item := range slices.Concat(inits, mains) {
		if of, _ := item.(map[string]any); of["name"] == container {
			_, is, _ := unstructured.NestedMap(of, "state", "running")
			return is
		}
	}
	return false
}
