package cmd

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/watch/loop"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// documented reads the tables of docs/events.md: section -> field -> type.
func documented(t *testing.T) map[string]map[string]string {
	t.Helper()
	text, err := os.ReadFile("../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]string{}
	section := ""
	row := regexp.MustCompile("^\\| `([a-z_]+)` \\| ([^|]*) \\|")
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "### A"); ok {
			section = strings.TrimSpace(strings.TrimPrefix(name, "n "))
			out[section] = map[string]string{}
		}
		if m := row.FindStringSubmatch(line); m != nil && section != "" {
			out[section][m[1]] = m[2]
		}
	}
	return out
}

// printed is what a type prints: field -> whether it is always there.
func printed(of reflect.Type) map[string]bool {
	out := map[string]bool{}
	for i := range of.NumField() {
		name, options, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		if name != "-" && name != "" {
			out[name] = options != "omitempty"
		}
	}
	return out
}

func TestTheEventsDocumentNamesEveryField(t *testing.T) {
	doc := documented(t)
	for section, of := range map[string]reflect.Type{
		"line": reflect.TypeFor[display.JSONLine](), "plan": reflect.TypeFor[planner.Plan](), "step": reflect.TypeFor[planner.Step](),
		"reason": reflect.TypeFor[planner.Reason](), "place": reflect.TypeFor[spec.Place](), "event": reflect.TypeFor[planner.Event](),
		"part": reflect.TypeFor[planner.Part](), "watch event": reflect.TypeFor[loop.Event](),
	} {
		fields := printed(of)
		if got, want := slices.Sorted(maps.Keys(doc[section])), slices.Sorted(maps.Keys(fields)); !slices.Equal(got, want) {
			t.Errorf("docs/events.md has of a %s the fields\n%q\nbut printed are\n%q", section, got, want)
		}
		for name, always := range fields {
			if said := strings.Contains(doc[section][name], "always"); said != always {
				t.Errorf("docs/events.md says of %s of a %s: always %t, but it is %t", name, section, said, always)
			}
		}
	}
}

func TestTheEventsDocumentNamesTheVersionAndWords(t *testing.T) {
	text, err := os.ReadFile("../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	d := &display.JSON{Enc: json.NewEncoder(&out)}
	d.Plan(&planner.Plan{Steps: []*planner.Step{}})
	var first map[string]any
	if err := json.Unmarshal(out.Bytes(), &first); err != nil {
		t.Fatal(err)
	}
	if v, _ := first["version"].(float64); v == 0 || !strings.Contains(string(text), "of this schema: "+string('0'+rune(v))) {
		t.Errorf("the first line is %s: the document names another version", out.String())
	}
	d.Event(planner.Event{Kind: planner.Done})
	d.Finish(display.Summary{Verdict: &api.Verdict{}})
	words := []string{
		string(planner.Started), string(planner.Progressed), string(planner.Done), string(planner.Unchanged), string(planner.Failed),
		string(planner.Skipped), string(planner.Cancelled), string(planner.Pull), string(planner.Build), string(planner.CreateNetwork),
		string(planner.AttachNetwork), string(planner.RemoveNetwork), string(planner.CreateVolume), string(planner.RemoveVolume), string(planner.RemoveImage),
		string(planner.Create), string(planner.Replace), string(planner.Update), string(planner.Start), string(planner.Restart),
		string(planner.Stop), string(planner.Kill), string(planner.Remove), string(planner.Await), planner.Ready,
		string(loop.Ready), string(loop.SyncDone), string(loop.Restarted), string(loop.Executed), string(loop.Building),
		string(loop.Rebuilt), string(loop.Applied), string(loop.Note), string(loop.Warning),
		spec.ServiceStarted, spec.ServiceHealthy, spec.ServiceCompleted,
	}
	for line := range strings.Lines(out.String()) {
		var l display.JSONLine
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Version != display.JSONVersion {
			t.Errorf("%s has version %d: %v", line, l.Version, err)
		}
		words = append(words, l.Type)
	}
	for _, word := range words {
		if !strings.Contains(string(text), "`"+word+"`") {
			t.Errorf("docs/events.md does not name %s", word)
		}
	}
}
