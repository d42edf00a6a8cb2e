package builder

import (
	"slices"
	"testing"

	"github.com/orlop/orlop/spec"
)

// TestCachedSteps: they are named as BuildKit names them.
func TestCachedSteps(t *testing.T) {
	const several = "ARG V=1\nFROM golang:$V AS compile\nWORKDIR /src\nCOPY . .\nRUN go build \\\n  -o /out ./...\n" +
		"FROM compile AS tested\nRUN go test ./...\nFROM scratch\nCOPY --from=compile /out /out\nENV A=b\nCMD [\"/out\"]\n"
	for name, c := range map[string]struct {
		text, target string
		want         []string
	}{
		"one stage":     {"FROM nginx:alpine\nLABEL a=b\nCOPY static /usr/share/nginx/html\n", "", []string{"[1/2] FROM nginx:alpine", "[2/2] COPY static /usr/share/nginx/html"}},
		"an empty base": {several, "", []string{"[stage-2 2/2] COPY --from=compile /out /out"}},
		"a stage on a stage": {several, "tested", []string{"[compile 1/4] FROM golang:$V", "[compile 2/4] WORKDIR /src", "[compile 3/4] COPY . .",
			"[compile 4/4] RUN go build -o /out ./...", "[tested 2/2] RUN go test ./..."}},
		"no such target":   {several, "absent", nil},
		"not a Dockerfile": {"FORM x\n", "", nil},
	} {
		p := &spec.Project{Services: map[string]*spec.Service{"web": {Build: &spec.Build{DockerfileInline: c.text, Target: c.target}}}}
		if got := CachedSteps(p, "web"); !slices.Equal(got, c.want) {
			t.Errorf("%s: the steps are\n%q, want\n%q", name, got, c.want)
		}
	}
}
