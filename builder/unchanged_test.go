package builder

import (
	"slices"
	"testing"

	"github.com/orlop/orlop/spec"
)

// TestUnchangedInstructions: they are those of the Dockerfile; of bases, which may stand behind variables, nothing is said.
func TestUnchangedInstructions(t *testing.T) {
	const several = "ARG V=1\nFROM golang:$V AS compile\nWORKDIR /src\nCOPY . .\nRUN go build \\\n  -o /out ./...\n" +
		"FROM compile AS tested\nRUN go test ./...\nFROM scratch\nCOPY --from=compile /out /out\nENV A=b\nCMD [\"/out\"]\n"
	for name, c := range map[string]struct {
		text, target string
		want         []string
	}{
		"one stage":          {"FROM nginx:alpine\nLABEL a=b\nCOPY static /usr/share/nginx/html\n", "", []string{"COPY static /usr/share/nginx/html"}},
		"an empty base":      {several, "", []string{"COPY --from=compile /out /out"}},
		"a stage on a stage": {several, "tested", []string{"WORKDIR /src", "COPY . .", "RUN go build -o /out ./...", "RUN go test ./..."}},
		"no such target":     {several, "absent", nil},
		"not a Dockerfile":   {"FORM x\n", "", nil},
	} {
		p := &spec.Project{Services: map[string]*spec.Service{"web": {Build: &spec.Build{DockerfileInline: c.text, Target: c.target}}}}
		if got := UnchangedInstructions(p, "web"); !slices.Equal(got, c.want) {
			t.Errorf("%s: the instructions are\n%q, want\n%q", name, got, c.want)
		}
	}
}
