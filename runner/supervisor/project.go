package supervisor

import (
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/planner"
)

// Project sums up a project that something exists of.
type Project struct {
	Name       string
	WorkingDir string
	Files      []string
	Running    int
	Paused     int       // of those that run
	Restarting int       // of those that run
	Exited     int       // what does not run
	Created    int       // of what does not run: it never did
	Since      time.Time // when its oldest container was created
}

// Projects sums up the records of containers, by the names of their projects.
func Projects(list []Record) []Project {
	by := map[string]*Project{}
	for _, rec := range list {
		info := by[rec.Project]
		if info == nil {
			info = &Project{Name: rec.Project, WorkingDir: rec.WorkingDir, Files: rec.Files, Since: rec.CreatedAt}
			by[rec.Project] = info
		}
		if rec.CreatedAt.Before(info.Since) {
			info.Since = rec.CreatedAt
		}
		info.count(rec)
	}
	out := make([]Project, 0, len(by))
	for _, info := range by {
		out = append(out, *info)
	}
	slices.SortFunc(out, func(a, b Project) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (p *Project) count(rec Record) {
	switch {
	case rec.State == planner.Restarting:
		p.Running++
		p.Restarting++
	case rec.State == planner.Running:
		p.Running++
		if rec.Paused {
			p.Paused++
		}
	default:
		p.Exited++
		if rec.State == planner.Created {
			p.Created++
		}
	}
}
