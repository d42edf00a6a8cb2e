package display

import (
	"fmt"
	"strings"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// composeLines are the lines of an event in the words of Compose, which scripts look for where they ask for plain progress:
// "Container shop-db-1 Started". There are none for what Compose has no words for.
func (b *Board) composeLines(r *row, e planner.Event, project *spec.Project) (lines []string) {
	kind, name := "", r.name
	var doing, done []string
	switch r.action {
	case planner.CreateNetwork, planner.CreateVolume:
		kind, name, doing, done = "Network", r.image, []string{"Creating"}, []string{"Created"}
		if r.action == planner.CreateVolume {
			kind = "Volume"
		}
	case planner.RemoveNetwork:
		kind, name, doing, done = "Network", r.image, []string{"Removing"}, []string{"Removed"}
	case planner.RemoveVolume:
		kind, name, doing, done = "Volume", r.image, []string{"Removing"}, []string{"Removed"}
	case planner.RemoveImage:
		kind, doing, done = "Image", []string{"Removing"}, []string{"Removed"}
	case planner.Build:
		kind, name, doing, done = "Image", r.image, []string{"Building"}, []string{"Built"}
	case planner.Pull:
		kind, name, doing, done = "Image", r.image, []string{"Pulling"}, []string{"Pulled"}
	default:
		kind, name = "Container", b.containerName(r, project)
		doing, done = containerWords(r)
	}
	switch {
	case name == "":
		return nil
	case e.Action == planner.Await && e.Kind == planner.Started:
		doing = []string{"Waiting"}
	case e.Action == planner.Await:
		done = nil
		if word := b.awaited(e); word == "healthy" {
			done = []string{"Healthy"}
		} else if word == "completed" {
			done = []string{"Exited"}
		}
	}
	words := done
	switch e.Kind {
	case planner.Started:
		words = doing
	case planner.Done:
	case planner.Unchanged:
		if r.action != planner.Pull {
			return nil
		}
	default:
		return nil
	}
	for _, word := range words {
		lines = append(lines, fmt.Sprintf(" %s %s %s", kind, name, word))
	}
	return lines
}

// containerWords say what begins and what has ended with a step about a container.
func containerWords(r *row) (doing, done []string) {
	switch r.action {
	case planner.Create:
		if r.verb == "create" {
			return []string{"Creating"}, []string{"Created"}
		}
		return []string{"Creating"}, []string{"Created", "Started"}
	case planner.Replace:
		if r.verb == "create" {
			return []string{"Recreate"}, []string{"Recreated"}
		}
		return []string{"Recreate"}, []string{"Recreated", "Started"}
	case planner.Start:
		return []string{"Starting"}, []string{"Started"}
	case planner.Restart:
		return []string{"Restarting"}, []string{"Stopped", "Started"}
	case planner.Stop:
		return []string{"Stopping"}, []string{"Stopped"}
	case planner.Kill:
		return []string{"Killing"}, []string{"Killed"}
	case planner.Remove:
		return []string{"Stopping"}, []string{"Stopped", "Removed"}
	case "pause":
		return []string{"Pausing"}, []string{"Paused"}
	case "unpause":
		return []string{"Unpausing"}, []string{"Unpaused"}
	}
	return nil, nil
}

// containerName is the name of the container that a row is about; "" where it is about none.
func (b *Board) containerName(r *row, project *spec.Project) string {
	service, number, isReplica := strings.Cut(r.name, "/")
	if !isReplica {
		return r.name // of a run
	}
	if project != nil {
		if s := project.Services[service]; s != nil && s.ContainerName != "" {
			return s.ContainerName
		}
	}
	separator := "-"
	if project != nil {
		separator = project.Separator()
	}
	return b.plan.Project + separator + service + separator + number
}
