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
	Paused     int // of those that run
	Exited     int
	Created    time.Time // of its oldest container
}

// Projects sums up the records of containers, by the names of their projects.
func Projects(list []Record) []Project {
	by := map[string]*Project{}
	for _, rec := range list {
		info := by[rec.Project]
		if info == nil {
			info = &Project{Name: rec.Project, WorkingDir: rec.WorkingDir, Files: rec.Files, Created: rec.CreatedAt}
			by[rec.Project] = info
		}
		if rec.CreatedAt.Before(info.Created) {
			info.Created = rec.CreatedAt
		}
		if rec.State == planner.Running || rec.State == planner.Restarting {
			info.Running++
			if rec.Paused {
				info.Paused++
			}
		} else {
			info.Exited++
		}
	}
	out := make([]Project, 0, len(by))
	for _, info := range by {
		out = append(out, *info)
	}
	slices.SortFunc(out, func(a, b Project) int { return strings.Compare(a.Name, b.Name) })
	return out
}
