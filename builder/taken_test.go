package builder

import (
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

// What a Dockerfile takes of its context is told where it is certain; else it may be anything.
func TestWhatADockerfileTakesOfItsContext(t *testing.T) {
	one := "1"
	for name, c := range map[string]struct {
		text  string
		build spec.Build
		want  string // "-": anything
	}{
		"nothing":                     {text: "RUN true", want: ""},
		"a directory":                 {text: "COPY src /src", want: "src"},
		"by other spellings":          {text: "copy --chown=1:1 ./src/ /lib/../conf/a /x/", want: "conf/a src"},
		"as JSON":                     {text: `COPY ["a", "b/c", "/x/"]`, want: "a b/c"},
		"any of a kind":               {text: "COPY src/*.go *.mod /src/", want: "*.mod src/*.go"},
		"added":                       {text: "ADD a.tar https://x.example/y.tar git@x.example:y.git#v1 /x/", want: "a.tar"},
		"of another stage":            {text: "COPY --from=0 /a /b\nCOPY --from=golang /c /d", want: ""},
		"what is mounted":             {text: "RUN --mount=type=bind,source=src,target=/src --mount=type=cache,target=/c --mount=target=/x,from=golang,source=/y make", want: "src"},
		"a heredoc":                   {text: "COPY <<EOF /x\nCOPY . /\nEOF\nRUN <<EOF\nCOPY . /\nEOF\nCOPY a /a", want: "a"},
		"for another stage":           {text: "ONBUILD COPY src /src", want: "src"},
		"all":                         {text: "COPY . /", want: "-"},
		"all by another name":         {text: "COPY src/.. /", want: "-"},
		"all that is mounted":         {text: "RUN --mount=target=/src make", want: "-"},
		"all for another stage":       {text: "ONBUILD ADD . /", want: "-"},
		"a variable":                  {text: "ARG X=src\nCOPY ${X} /src", want: "-"},
		"a variable in an address":    {text: "ADD $X://y /x", want: "-"},
		"a variable in a mount":       {text: "RUN --mount=type=$T,source=src,target=/x make", want: "-"},
		"in quotes":                   {text: `COPY "src" /src`, want: "-"},
		"a class of characters":       {text: "COPY sr[c] /src", want: "-"},
		"escaped":                     {text: `COPY sr\c /src`, want: "-"},
		"directories of any depth":    {text: "COPY --parents **/go.mod /src/", want: "-"},
		"the base of another machine": {text: "FROM --platform=linux/arm64 a\nCOPY src /src", want: "-"},
		"an unknown instruction":      {text: "INCLUDE src", want: "-"},
		"an argument of the frontend": {text: "ARG BUILDKIT_SBOM_SCAN_CONTEXT=true\nCOPY src /src", want: "-"},
		"one of the stack file":       {text: "COPY src /src", build: spec.Build{Args: map[string]*string{"BUILDKIT_SYNTAX": &one}}, want: "-"},
		"an attestation":              {text: "COPY src /src", build: spec.Build{SBOM: "true"}, want: "-"},
		"another service's image":     {text: "COPY src /src", build: spec.Build{AdditionalContexts: map[string]string{"base": "service:base"}}, want: "-"},
		"several platforms":           {text: "COPY src /src", build: spec.Build{Platforms: []string{"linux/amd64", "linux/arm64"}}, want: "-"},
	} {
		got := "-"
		if paths := taken([]byte("FROM a\n"+c.text+"\n"), &spec.Service{Build: &c.build}, Options{}); paths != nil {
			got = strings.Join(*paths, " ")
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if taken([]byte("FROM a\nCOPY a /a\n"), &spec.Service{Build: &spec.Build{}}, Options{Args: map[string]string{"BUILDKIT_SYNTAX": "x"}}) != nil {
		t.Error("an argument of the command line is none of the frontend")
	}
}
