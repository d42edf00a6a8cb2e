package deploy

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/deploy/fields"
	"github.com/orlop/orlop/deploy/rollout"
)

// NotReady is a service whose pods are not ready, with what explains it.
type NotReady struct {
	Text  string
	Shown []string
}

func (e *NotReady) Error() string { return e.Text }

// Lines are what the container printed last, and what the cluster complains of.
func (e *NotReady) Lines() []string { return e.Shown }

// shownLines is how many lines of a log explain a failure.
const shownLines = 8

// shownEvents is how many of what the cluster complains of explain one.
const shownEvents = 3

// Explain asks the cluster for what led to a failure of a workload.
func Explain(ctx context.Context, c *cluster.Client, workload string, s rollout.State) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	text := s.Failure
	if s.Killed != "" {
		if killed := c.WhyKilled(ctx, s.Pod, s.Inside); killed != "" {
			text = strings.Replace(text, s.Killed, killed, 1)
		}
	}
	if strings.Contains(text, "exited with code 0") {
		text += " (a service that is to end is a job: x-orlop: {kind: job})"
	}
	if s.Pod != "" {
		where := s.Pod
		if s.Inside != "" {
			where += " (" + s.Inside + ")"
		}
		text = where + ": " + text
	}
	out := &NotReady{Text: text}
	if s.Pod == "" { // none could be made
		out.Shown = events(c.Warnings(ctx, workload), "", text)
		return out
	}
	if s.Inside != "" {
		out.Shown = c.LastLines(ctx, s.Pod, s.Inside, shownLines)
	}
	out.Shown = append(out.Shown, events(c.Warnings(ctx, s.Pod), "", text)...)
	if strings.Contains(text, "PersistentVolumeClaim") {
		for _, claim := range claimsOf(ctx, c, s.Pod) {
			out.Shown = append(out.Shown, events(c.Warnings(ctx, claim), "claim "+claim+": ", text)...)
		}
	}
	return out
}

// events are the last of those that say what is not said yet.
func events(warnings []cluster.Warning, about, said string) (lines []string) {
	for _, w := range warnings {
		message := rollout.Plain(w.Message)
		if strings.Contains(said, message) || slices.Contains([]string{"ErrImagePull", "ImagePullBackOff"}, message) {
			continue
		}
		line := "event: " + about + w.Reason + ": " + message
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines[max(len(lines)-shownEvents, 0):]
}

// claimsOf are the claims that a pod has.
func claimsOf(ctx context.Context, c *cluster.Client, pod string) (names []string) {
	live, err := c.Get(ctx, cluster.Pod, pod)
	if err != nil || live == nil {
		return nil
	}
	volumes, _ := fields.At(live.Object, []string{"spec", "volumes"}).([]any)
	for _, v := range volumes {
		if name, is := fields.At(v, []string{"persistentVolumeClaim", "claimName"}).(string); is {
			names = append(names, name)
		}
	}
	return names
}
