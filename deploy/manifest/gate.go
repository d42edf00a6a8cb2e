package manifest

import (
	"maps"
	"slices"
)

// gateArguments tell a gate what it waits for: NAME=CONDITION each, by the names on the cluster.
func (w *workload) gateArguments() []any {
	args := []any{"-project", LabelValue(w.project.Name)}
	waits := 0
	for _, name := range slices.Sorted(maps.Keys(w.service.DependsOn)) {
		if other := w.project.Services[name]; other == nil || other.Replicas() == 0 || !w.service.DependsOn[name].Required { // it may be away, or fail
			continue
		}
		waits++
		args = append(args, w.names[name]+"="+w.service.DependsOn[name].Condition)
	}
	if waits == 0 {
		return nil
	}
	return args
}

// gateToken is the volume with what a gate shows the API server: no other container of the pod has it, and no other volume its name.
const gateToken = "gate-token"

// gate is the container that waits for what the service depends on, on every start of a pod.
func (w *workload) gate() []any {
	args := w.gateArguments()
	if w.opts.Gate == "" || args == nil || w.path != "services."+w.name {
		return nil
	}
	if w.service.NetworkMode == "none" {
		w.warn(w.path+".depends_on", "its pods have no network to ask by: a deploy waits, and they do not when they are started again", "")
		return nil
	}
	w.gated = true
	if own := w.own.ServiceAccount; own != "" && !slices.Contains(w.gatedAs, own) {
		w.gatedAs = append(w.gatedAs, own) // its token is the gate's, too
	}
	w.podVolumes = append(w.podVolumes, map[string]any{"name": gateToken, "projected": map[string]any{"sources": []any{
		map[string]any{"serviceAccountToken": map[string]any{"path": "token", "expirationSeconds": int64(3600)}},
		map[string]any{"configMap": map[string]any{"name": "kube-root-ca.crt", "items": []any{map[string]any{"key": "ca.crt", "path": "ca.crt"}}}},
		map[string]any{"downwardAPI": map[string]any{"items": []any{map[string]any{"path": "namespace", "fieldRef": map[string]any{"apiVersion": "v1", "fieldPath": "metadata.namespace"}}}}},
	}}})
	return []any{map[string]any{
		"name": w.beside("gate"), "image": w.opts.Gate, "imagePullPolicy": "IfNotPresent", "args": args,
		"volumeMounts": []any{map[string]any{"name": gateToken, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true}},
		"securityContext": map[string]any{
			"runAsUser": int64(65532), "runAsNonRoot": true, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
			"capabilities": map[string]any{"drop": []any{"ALL"}}, "seccompProfile": map[string]any{"type": "RuntimeDefault"},
		},
	}}
}

// beside is the name of a container that comes before the service's own, which has its name.
func (w *workload) beside(name string) string {
	if w.names[w.name] == name {
		return "orlop-" + name
	}
	return name
}

// gates makes what gates may see: pods and jobs, and to look only.
func (b *build) gates() {
	if !b.gated {
		return
	}
	name := b.gateAccount()
	look := []any{"get", "list", "watch"}
	rules := []any{
		map[string]any{"apiGroups": []any{""}, "resources": []any{"pods"}, "verbs": look},
		map[string]any{"apiGroups": []any{"batch"}, "resources": []any{"jobs"}, "verbs": look},
	}
	subjects := []any{map[string]any{"kind": ServiceAccount.Kind, "name": name}}
	for _, own := range b.gatedAs {
		subjects = append(subjects, map[string]any{"kind": ServiceAccount.Kind, "name": own})
	}
	account := b.object(ServiceAccount, name, "", map[string]any{"automountServiceAccountToken": false})
	role := b.object(Role, name, "", map[string]any{"rules": rules})
	binding := b.object(RoleBinding, name, "", map[string]any{
		"roleRef":  map[string]any{"apiGroup": Role.Group, "kind": Role.Kind, "name": name},
		"subjects": subjects,
	})
	b.set.Resources = slices.Insert(b.set.Resources, 0, &Resource{Kind: OfGate, Key: "gate", Objects: []*Object{account, role, binding}})
}

func (b *build) gateAccount() string { return suffixed(b.project.Name, "-gate") }
