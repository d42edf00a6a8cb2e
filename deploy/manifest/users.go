package manifest

import (
	"slices"
)

// IsUsedBy says that the pods of a service or job need the resource: they are on that network, mount that volume, config or secret, or
// wait as that account.
func (r *Resource) IsUsedBy(user *Resource) bool {
	if r.Workload != nil || user.Workload == nil {
		return false
	}
	template := podTemplate(user.Workload)
	return slices.ContainsFunc(r.Objects, func(o *Object) bool { return isUsed(o, template) })
}

// podTemplate is that of a workload.
func podTemplate(o *Object) map[string]any {
	at, _ := o.Body["spec"].(map[string]any)
	if o.Kind == CronJob {
		at = mapping(mapping(at, "jobTemplate"), "spec")
	}
	return mapping(at, "template")
}

func mapping(of map[string]any, key string) map[string]any {
	m, _ := of[key].(map[string]any)
	return m
}

func isUsed(o *Object, template map[string]any) bool {
	pod := mapping(template, "spec")
	volumes, _ := pod["volumes"].([]any)
	mounted := func(source, key string) bool {
		return slices.ContainsFunc(volumes, func(v any) bool { return mapping(v.(map[string]any), source)[key] == o.Name })
	}
	switch o.Kind {
	case NetworkPolicy:
		labels := mapping(mapping(template, "metadata"), "labels")
		for key, value := range mapping(mapping(mapping(o.Body, "spec"), "podSelector"), "matchLabels") {
			if labels[key] != value {
				return false
			}
		}
		return true
	case VolumeClaim:
		return mounted("persistentVolumeClaim", "claimName")
	case ConfigMap:
		return mounted("configMap", "name")
	case Secret:
		return mounted("secret", "secretName")
	case ServiceAccount:
		return pod["serviceAccountName"] == o.Name
	}
	return false
}

// Image is what the container of a service or job runs.
func (r *Resource) Image() string {
	containers, _ := mapping(podTemplate(r.Workload), "spec")["containers"].([]any)
	if len(containers) == 0 {
		return ""
	}
	ref, _ := containers[0].(map[string]any)["image"].(string)
	return ref
}
