package deploy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/orlop/orlop/deploy/cluster"
)

// podChoice are the flags that name one pod of a service.
type podChoice struct {
	name  string
	index int
}

func (p *podChoice) flags(f *pflag.FlagSet, without string) {
	f.StringVar(&p.name, "pod", "", "`name` of the pod, or the short one of logs"+without)
	f.IntVar(&p.index, "index", 0, "`number` of the pod among those of the service, from 1 on: the oldest first, of a StatefulSet in its order")
}

func (p *podChoice) isMade() bool { return p.name != "" || p.index != 0 }

func (p *podChoice) check() error {
	switch {
	case p.name != "" && p.index != 0:
		return errors.New("--pod and --index both name the pod: one of them is enough")
	case p.index < 0:
		return fmt.Errorf("--index is %d: pods are counted from 1 on", p.index)
	}
	return nil
}

// find is the pod of a service that is meant.
func (p *podChoice) find(pods []*cluster.Live, service string) (*cluster.Live, error) {
	pods = inOrder(pods)
	if p.name != "" {
		for _, pod := range pods {
			if pod.GetName() == p.name || shortName(service, pod.GetName()) == p.name {
				return pod, nil
			}
		}
		return nil, fmt.Errorf("%s has no pod %s%s", service, p.name, listPods(pods))
	}
	pods = slices.DeleteFunc(pods, func(pod *cluster.Live) bool { return pod.GetDeletionTimestamp() != nil })
	if p.index > len(pods) {
		return nil, fmt.Errorf("%s has no pod %d%s", service, p.index, listPods(pods))
	}
	return pods[p.index-1], nil
}

func listPods(pods []*cluster.Live) string {
	const most = 5
	var names []string
	for _, pod := range pods[:min(len(pods), most)] {
		names = append(names, pod.GetName())
	}
	switch {
	case len(pods) == 0:
		return ": it has none at all"
	case len(pods) > most:
		return fmt.Sprintf(": it has %s and %d more", strings.Join(names, ", "), len(pods)-most)
	}
	return ": it has " + strings.Join(names, ", ")
}

// inOrder are pods as they are counted: those of a StatefulSet by their numbers, others by their age.
func inOrder(pods []*cluster.Live) []*cluster.Live {
	pods = slices.Clone(pods)
	slices.SortFunc(pods, func(a, b *cluster.Live) int {
		x, hasX := ordinal(a)
		y, hasY := ordinal(b)
		if hasX && hasY && x != y {
			return cmp.Compare(x, y)
		}
		return cmp.Or(a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time), strings.Compare(a.GetName(), b.GetName()))
	})
	return pods
}

// ordinal is the number of a pod in its StatefulSet.
func ordinal(pod *cluster.Live) (int, bool) {
	n, err := strconv.Atoi(pod.GetLabels()["apps.kubernetes.io/pod-index"])
	return n, err == nil
}

// shortName is a pod as logs name it: its service, and the last part of its name.
func shortName(service, pod string) string {
	return service + "-" + pod[strings.LastIndexByte(pod, '-')+1:]
}
