package engine

import (
	"testing"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec/privilege"
)

// FuzzApplyRequest holds that no document of a caller panics where it is read and
// planned.
func FuzzApplyRequest(f *testing.F) {
	f.Add([]byte(shop), []byte(`{}`), []byte(`{}`))
	f.Add([]byte(`{"name":"p","services":{"a":{"depends_on":{"a":{"condition":"x"}}},"b":{"build":{}}}}`), []byte(`{"services":["b"]}`), []byte(`null`))
	f.Add([]byte(`{"name":"p","services":{"a":{"image":"x","network_mode":"service:a","volumes":[{"type":"volume","source":"none"}]}},"networks":{"n":null},"volumes":{"v":null},"secrets":{"s":null}}`), []byte(`[]`), []byte(`{"a":{}}`))
	d := newDesk(f)
	f.Fuzz(func(t *testing.T, project, options, places []byte) {
		j, err := d.decode(&api.ApplyRequest{Project: project, Options: options, Places: places, WorkingDir: "/p"})
		if err != nil {
			return
		}
		privilege.Of(j.project, "/p")
		_, _ = planner.Converge(j.project, &planner.Observed{}, j.options)
	})
}
