package display

import (
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// Workflow is what the CI system that runs us makes of marked lines: groups
// that fold, and annotations beside the lines of files. The zero one marks
// nothing.
type Workflow struct {
	w      io.Writer
	github bool
	gitlab bool
	root   string // directory that the paths of annotations start from
	dir    string // working directory
	now    func() time.Time
	open   string // name of the group that is open
	groups int
}

// NewWorkflow looks at the variables that GitHub and GitLab set. Without marks
// nothing is marked.
func NewWorkflow(w io.Writer, dir string, env map[string]string, now func() time.Time, marks bool) *Workflow {
	f := &Workflow{w: w, dir: dir, now: now}
	if marks {
		f.github = env["GITHUB_ACTIONS"] == "true"
		f.gitlab = env["GITLAB_CI"] == "true" && !f.github
		f.root = env["GITHUB_WORKSPACE"]
	}
	return f
}

// Marks says that lines are marked at all.
func (w *Workflow) Marks() bool { return w.github || w.gitlab }

// Begin opens a group; the one before is closed.
func (w *Workflow) Begin(title string) {
	w.End()
	switch {
	case w.github:
		w.open = title
		fmt.Fprintf(w.w, "::group::%s\n", escapeData(title))
	case w.gitlab:
		w.groups++
		w.open = fmt.Sprintf("orlop_%d_%s", w.groups, sectionName(title))
		fmt.Fprintf(w.w, "\x1b[0Ksection_start:%d:%s\r\x1b[0K%s\n", w.now().Unix(), w.open, title)
	}
}

// End closes the open group.
func (w *Workflow) End() {
	switch {
	case w.open == "":
	case w.github:
		fmt.Fprintln(w.w, "::endgroup::")
	case w.gitlab:
		fmt.Fprintf(w.w, "\x1b[0Ksection_end:%d:%s\r\x1b[0K\n", w.now().Unix(), w.open)
	}
	w.open = ""
}

func sectionName(title string) string {
	return strings.Trim(regexp.MustCompile(`[^a-z0-9_.-]+`).ReplaceAllString(strings.ToLower(title), "_"), "_")
}

// Annotate puts a message beside a line of a file. level is error or warning.
func (w *Workflow) Annotate(level string, at spec.Place, title, message string) {
	if !w.github {
		return
	}
	var fields []string
	add := func(name, value string) {
		if value != "" && value != "0" {
			fields = append(fields, name+"="+escapeProperty(value))
		}
	}
	add("file", w.relative(at.File))
	add("line", strconv.Itoa(at.Line))
	add("col", strconv.Itoa(at.Column))
	add("title", title)
	text := "::" + level
	if len(fields) > 0 {
		text += " " + strings.Join(fields, ",")
	}
	fmt.Fprintf(w.w, "%s::%s\n", text, escapeData(message))
}

// relative is a path as annotations want it: from the top of the repository.
func (w *Workflow) relative(path string) string {
	if path == "" {
		return ""
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(w.dir, path)
	}
	root := w.root
	if root == "" {
		root = w.dir
	}
	if rel, err := filepath.Rel(root, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}

// Diagnostics annotates the complaints about a stack file.
func (w *Workflow) Diagnostics(ds spec.Diagnostics) {
	for _, d := range ds {
		level, text := "error", d.Message
		if d.Severity == spec.Warning {
			level = "warning"
		}
		if d.Path != "" {
			text = d.Path + ": " + text
		}
		if d.Hint != "" {
			text += " (" + d.Hint + ")"
		}
		w.Annotate(level, d.Place, "", text)
	}
}

// escapeData and escapeProperty are the escapes of GitHub's workflow commands.
func escapeData(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

func escapeProperty(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(s)
}

// failingInstruction finds the marked line among those that explain a failed
// build: "Dockerfile:3 | >>> RUN false".
var failingInstruction = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(.+):(\d+) \| >>> `) })

// dockerfilePlace is where in a Dockerfile, or in the stack file that holds
// it, a build of a service failed.
func dockerfilePlace(p *spec.Project, service string, lines []string) spec.Place {
	s := p.Services[service]
	if s == nil || s.Build == nil {
		return spec.Place{}
	}
	key := p.Places.Nearest("services." + service + ".build")
	if s.Build.DockerfileInline != "" {
		return p.Places.Nearest("services." + service + ".build.dockerfile_inline")
	}
	for _, l := range lines {
		m := failingInstruction().FindStringSubmatch(l)
		if m == nil || strings.Contains(s.Build.Context, "://") {
			continue
		}
		line, _ := strconv.Atoi(m[2])
		file := s.Build.Dockerfile
		if file == "" {
			file = "Dockerfile"
		}
		if !filepath.IsAbs(file) {
			file = filepath.Join(s.Build.Context, file)
		}
		return spec.Place{File: file, Line: line}
	}
	return key
}

// annotator is a display that annotates failures.
type annotator struct {
	project *spec.Project
	flow    *Workflow
}

func (d *annotator) Plan(*planner.Plan) {}
func (d *annotator) Finish(Summary)     {}
func (d *annotator) Abort()             {}

func (d *annotator) Event(e planner.Event) {
	if e.Kind != planner.Failed {
		return
	}
	at := d.project.Places.Nearest("services." + e.Service)
	if e.Action == planner.Build {
		at = dockerfilePlace(d.project, e.Service, e.Lines)
	}
	title := e.Resource + " failed"
	switch e.Action {
	case planner.Build:
		title = "build of " + title
	case planner.Await:
		title = e.Service + " failed"
	}
	d.flow.Annotate("error", at, title, strings.Join(append([]string{e.Text}, e.Lines...), "\n"))
}
