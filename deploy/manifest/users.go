package manifest

import "slices"

// IsUsedBy says that the pods of a service or job need the resource: they are on that network, mount that volume, config or secret, or
// wait as that account.
func (r *Resource) IsUsedBy(user *Resource) bool {
	if r.Workload != nil || user.Workload == nil {
		return false
	}
	template, mounted := podTemplate(user.Workload), user.Mounted()
	return slices.ContainsFunc(r.Objects, func(o *Object) bool {
		switch o.Kind {
		case NetworkPolicy:
			return isSelected(mapping(mapping(o.Body, "spec"), "podSelector"), template)
		case ServiceAccount:
			return mapping(template, "spec")["serviceAccountName"] == o.Name
		case RoleBinding:
			subjects, _ := o.Body["subjects"].([]any)
			return slices.ContainsFunc(subjects, func(s any) bool {
				of, _ := s.(map[string]any)
				return of["name"] == mapping(template, "spec")["serviceAccountName"]
			})
		}
		return slices.Contains(mounted, Mount{o.Kind, o.Name})
	})
}

// isSelected says that pods of a template have the labels that a selector asks for.
func isSelected(selector, template map[string]any) bool {
	labels := mapping(mapping(template, "metadata"), "labels")
	for key, value := range mapping(selector, "matchLabels") {
		if labels[key] != value {
			return false
		}
	}
	return true
}

// Mount is an object that pods mount.
type Mount struct {
	Kind Kind
	Name string
}

// Mounted are the claims, ConfigMaps and Secrets that the pods of a service or job mount.
func (r *Resource) Mounted() (list []Mount) {
	if r.Workload == nil {
		return nil
	}
	volumes, _ := mapping(podTemplate(r.Workload), "spec")["volumes"].([]any)
	for _, v := range volumes {
		volume, _ := v.(map[string]any)
		for _, of := range []struct {
			kind        Kind
			source, key string
		}{{VolumeClaim, "persistentVolumeClaim", "claimName"}, {ConfigMap, "configMap", "name"}, {Secret, "secret", "secretName"}} {
			if name, is := mapping(volume, of.source)[of.key].(string); is {
				list = append(list, Mount{of.kind, name})
			}
		}
	}
	return list
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

// podTemplate is that of a workload.
func podTemplate(o *Object) map[string]any {
	at := mapping(o.Body, "spec")
	if o.Kind == CronJob {
		at = mapping(mapping(at, "jobTemplate"), "spec")
	}
	return mapping(at, "template")
}

func mapping(of map[string]any, key string) map[string]any {
	m, _ := of[key].(map[string]any)
	return m
}
