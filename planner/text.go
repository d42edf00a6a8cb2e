package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/orlop/orlop/spec"
)

// Symbol is how an action is marked: + create, ~ change in place, ± replace,
// - remove, and a point for what only runs.
func (a Action) Symbol() string {
	switch a {
	case Pull, Build, Push, CreateNetwork, CreateVolume, Create, Schedules, Apply:
		return "+"
	case Replace:
		return "±"
	case Rollback:
		return "·"
	case Update, UpdateNetwork, UpdateVolume, AttachNetwork, Start, Restart, Pause, Unpause, Reschedule, Resume:
		return "~"
	case RemoveNetwork, RemoveVolume, RemoveImage, Remove, Stop, Kill, Unschedule, Suspend:
		return "-"
	case Await, Init:
		return "·"
	}
	return "?"
}

// at is a place as "stack.yaml:14", with the file named by its last element.
func at(p spec.Place) string {
	if p.Line == 0 {
		return ""
	}
	return fmt.Sprintf("   (%s:%d)", p.File[strings.LastIndexByte(p.File, '/')+1:], p.Line)
}

// Text is the plan for people, one line a step and more where there is more
// than one reason.
func (p *Plan) Text() string {
	var b strings.Builder
	width := p.labelWidth()
	for _, s := range p.Steps {
		if (s.Action == Await || s.Action == Rollback) && len(s.Reasons) == 0 { // what is between two batches says why, and one rollback for all
			continue
		}
		head := fmt.Sprintf(" %s %-*s", s.Action.Symbol(), width, spec.ShortDigests(s.label()))
		if len(s.Reasons) == 0 {
			fmt.Fprintln(&b, strings.TrimRight(head, " "))
		}
		for i, r := range s.Reasons {
			if i > 0 {
				head = strings.Repeat(" ", len([]rune(head)))
			}
			suffix := at(r.Place)
			if i == 0 && s.Note != "" {
				suffix += "   " + s.Note
			} else if i == 0 && s.Action == Update {
				suffix += "   no restart"
			}
			fmt.Fprintf(&b, "%s %s%s\n", head, r, suffix)
		}
	}
	for _, o := range p.Orphans {
		fmt.Fprintf(&b, " - %-*s no longer in the stack file (only with --remove-orphans)\n", width, o)
	}
	for _, r := range p.EndedRuns {
		fmt.Fprintf(&b, " - %-*s left by an earlier run (only with --remove-orphans)\n", width, r)
	}
	for _, w := range p.Warnings {
		fmt.Fprintf(&b, " ! %s\n", w)
	}
	fmt.Fprintf(&b, " %s\n", p.Summary())
	return spec.ShortDigests(b.String())
}

// labelWidth is that of the column of names: the longest one's, within reason, and a gap by which it can be told from what follows.
func (p *Plan) labelWidth() int {
	const least, most, gap = 12, 32, 2
	width := least
	for _, s := range p.Steps {
		if s.Action != Await {
			width = max(width, utf8.RuneCountInString(spec.ShortDigests(s.label()))+gap)
		}
	}
	for _, o := range slices.Concat(p.Orphans, p.EndedRuns) {
		width = max(width, utf8.RuneCountInString(o)+gap)
	}
	return min(width, most)
}

// label names the resource and, where it is no container, its kind.
func (s *Step) label() string {
	switch s.Action {
	case Pull, Build, Push:
		return string(s.Action) + " " + s.Resource
	case CreateNetwork, UpdateNetwork, RemoveNetwork:
		return "network " + s.Resource
	case AttachNetwork:
		return "attach " + s.Resource
	case CreateVolume, UpdateVolume, RemoveVolume:
		return "volume " + s.Resource
	case RemoveImage:
		return "image " + s.Resource
	case Rollback:
		return s.Service
	case Schedules, Reschedule:
		return "schedule " + s.Resource
	case Init, Unschedule, Suspend, Resume, Start, Restart, Stop, Kill, Pause, Unpause:
		return string(s.Action) + " " + s.Resource
	}
	return s.Resource
}

// Summary counts the steps: "replace 2, change 1 in place, leave 4 as they are".
func (p *Plan) Summary() string {
	var parts []string
	say := func(format string, n int) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf(format, n))
		}
	}
	say("build %d", p.Count(Build))
	say("pull %d", p.Count(Pull))
	say("push %d", p.Count(Push))
	say("init %d", p.Count(Init))
	say("create %d", p.Count(Create, CreateNetwork, CreateVolume, Apply))
	say("replace %d", p.Count(Replace))
	say("change %d in place", p.Count(Update, UpdateNetwork, UpdateVolume))
	say("attach %d", p.Count(AttachNetwork))
	say("start %d", p.Count(Start))
	say("restart %d", p.Count(Restart))
	say("stop %d", p.Count(Stop, Kill))
	say("pause %d", p.Count(Pause))
	say("unpause %d", p.Count(Unpause))
	say("schedule %d", p.Count(Schedules, Reschedule))
	say("unschedule %d", p.Count(Unschedule))
	say("suspend %d", p.Count(Suspend))
	say("resume %d", p.Count(Resume))
	say("remove %d", p.Count(Remove, RemoveNetwork, RemoveVolume, RemoveImage))
	if awaited := p.awaited(); len(parts) == 0 && awaited != "" {
		return "nothing to change, wait for " + awaited
	}
	if len(parts) == 0 {
		of := cmp.Or(p.Of, "container")
		if p.Leave == 1 {
			return fmt.Sprintf("nothing to do: 1 %s is as the stack file wants it", of)
		}
		return fmt.Sprintf("nothing to do: %s are as the stack file wants them", spec.Plural(p.Leave, of))
	}
	if p.Leave == 1 {
		say("leave %d as it is", 1)
	} else {
		say("leave %d as they are", p.Leave)
	}
	return strings.Join(parts, ", ")
}

// awaited names the services that a plan waits for.
func (p *Plan) awaited() string {
	const most = 3
	var names []string
	for _, s := range p.Steps {
		if s.Action == Await && !slices.Contains(names, s.Service) {
			names = append(names, s.Service)
		}
	}
	if len(names) > most {
		return spec.Plural(len(names), "service")
	}
	return strings.Join(names, ", ")
}
