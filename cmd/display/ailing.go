package display

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// lasting is how long a container that was restarted must have run to be well again:
// what Docker takes to reset the pauses between restarts.
const lasting = 10 * time.Second

// mostAiling is how many containers are told of one by one.
const mostAiling = 5

// Ailing says of each container of the services that does not run as it should what is
// wrong with it, and where more is to be read.
func Ailing(containers []planner.Container, services []string, now time.Time) (texts []string) {
	for i := range containers {
		c := &containers[i]
		if c.OneOff || !slices.Contains(services, c.Service) {
			continue
		}
		if text, printed := ailment(c, now); text != "" {
			if printed {
				text += ". See: orlop logs " + c.Service
			}
			texts = append(texts, Replica(c)+" "+text)
		}
	}
	return texts
}

// ailment is what is wrong with a container, "" of one that is well; printed says that
// its program has run, so that it may have said why.
func ailment(c *planner.Container, now time.Time) (text string, printed bool) {
	switch {
	case c.State == planner.Restarting && c.Error != "":
		return "cannot be started: " + c.Error, false
	case c.State == planner.Restarting && c.Restarts > 0:
		return "keeps restarting: " + StateNote(c), true
	case c.State == planner.Restarting:
		return "is restarted: " + StateNote(c), true
	case c.State == planner.Running && c.Health == planner.Unhealthy:
		return "is unhealthy" + lastProbe(c.LastProbe), true
	case c.State == planner.Running && c.Restarts > 0 && now.Sub(c.StartedAt) < lasting && c.Health != planner.Healthy:
		return fmt.Sprintf("keeps restarting: it has run for %s, restarted %s", Seconds(max(0, now.Sub(c.StartedAt))), spec.Times(c.Restarts)), true
	}
	return "", false
}

// lastProbe says how the last probe of an unhealthy container went.
func lastProbe(p *planner.ProbeInfo) string {
	if p == nil {
		return ""
	}
	text := fmt.Sprintf(": %s, the last one with exit code %d", spec.Plural(p.Failing, "failed probe"), p.ExitCode)
	if out, _, _ := strings.Cut(strings.TrimSpace(p.Output), "\n"); out != "" {
		text += ": " + out
	}
	return text
}

// ailingNote is what the verdict says of them.
func ailingNote(texts []string) string {
	if len(texts) == 1 {
		return ", but 1 container does not run as it should"
	}
	return fmt.Sprintf(", but %d containers do not run as they should", len(texts))
}

// ailingLines are the lines about them below the verdict.
func ailingLines(texts []string, st Style) (lines []string) {
	for i, text := range texts {
		if i == mostAiling && len(texts) > mostAiling+1 {
			return append(lines, st.Yellow(fmt.Sprintf(" ! and %d more: orlop ps", len(texts)-i)))
		}
		lines = append(lines, st.Yellow(" ! "+Printable(spec.ShortDigests(text))))
	}
	return lines
}
