package builder

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/secret"
)

func listenUnix(path string) (net.Listener, error) { return net.Listen("unix", path) }

func TestAttributes(t *testing.T) {
	text := func(s string) *string { return &s }
	for name, test := range map[string]struct {
		build spec.Build
		opts  Options
		want  map[string]string // beside those of a plain build
	}{
		"plain":      {spec.Build{Context: "/src"}, Options{}, nil},
		"dockerfile": {spec.Build{Context: "/src", Dockerfile: "deploy/prod.Dockerfile"}, Options{}, map[string]string{"filename": "prod.Dockerfile"}},
		"inline":     {spec.Build{Context: "/src", Dockerfile: "x", DockerfileInline: "FROM a"}, Options{}, map[string]string{"filename": "Dockerfile"}},
		"remote": {spec.Build{Context: "https://example.com/a.git#main", Dockerfile: "deploy/Dockerfile"}, Options{},
			map[string]string{"context": "https://example.com/a.git#main", "filename": "deploy/Dockerfile"}},
		"remote and inline": {spec.Build{Context: "git@example.com:a.git", DockerfileInline: "FROM a"}, Options{},
			map[string]string{"context": "git@example.com:a.git", "dockerfilekey": "dockerfile"}},
		"short of a repository": {spec.Build{Context: "github.com/o/r#v1:sub", AdditionalContexts: map[string]string{"x": "github.com/o/r#v1:sub"}}, Options{},
			map[string]string{"context": "github.com/o/r#v1:sub", "context:x": "https://github.com/o/r.git#v1:sub"}},
		"all": {
			spec.Build{Context: "/src", Target: "prod", NoCache: true, Pull: true, Args: map[string]*string{"A": text("1"), "B": text("1"), "UNSET": nil}, Labels: map[string]string{"l": "v"}},
			Options{Args: map[string]string{"B": "2"}},
			map[string]string{"target": "prod", "no-cache": "", "image-resolve-mode": "pull", "build-arg:A": "1", "build-arg:B": "2", "label:l": "v"},
		},
		"asked for by the command": {spec.Build{Context: "/src"}, Options{NoCache: true, Pull: true}, map[string]string{"no-cache": "", "image-resolve-mode": "pull"}},
		"contexts": {
			spec.Build{Context: "/src", AdditionalContexts: map[string]string{"dir": "/other", "img": "docker-image://a:1", "git": "https://e.com/x.git", "svc": "service:base"}},
			Options{},
			map[string]string{"context:dir": "local:extra-dir", "context:img": "docker-image://a:1", "context:git": "https://e.com/x.git", "context:svc": "docker-image://docker.io/library/p-base:latest"},
		},
	} {
		want := map[string]string{"filename": "Dockerfile", "image-resolve-mode": "local", "cmdline": "docker/dockerfile:1"}
		maps.Copy(want, test.want)
		got := attributes(Request{Service: "web", Build: &test.build, Options: test.opts, Images: map[string]string{"base": "docker.io/library/p-base:latest"}}, nil)
		if !maps.Equal(got, want) {
			t.Errorf("%s:\ngot  %v\nwant %v", name, got, want)
		}
	}
}

func TestFailureText(t *testing.T) {
	source := &errdefs.Source{
		Info:   &pb.SourceInfo{Filename: "Dockerfile", Data: []byte("FROM a\n\nCOPY . .\nRUN make\nRUN x\nCMD y\nCMD z")},
		Ranges: []*pb.Range{{Start: &pb.Position{Line: 4}, End: &pb.Position{Line: 4}}},
	}
	for name, test := range map[string]struct {
		err      error
		vertexes []*controlapi.Vertex
		want     string
		lines    []string
	}{
		"a step": {
			err:      errdefs.WithSource(fmt.Errorf("failed to solve: %w", errors.New(`process "/bin/sh -c make" did not complete successfully: exit code: 2`)), source),
			vertexes: []*controlapi.Vertex{{Digest: "1", Name: "[2/3] RUN make", Error: `process "/bin/sh -c make" did not complete successfully: exit code: 2`}},
			want:     "[2/3] RUN make: exit code: 2",
			lines: []string{"make: *** no rule", "Dockerfile:2 |     ", "Dockerfile:3 |     COPY . .", "Dockerfile:4 | >>> RUN make",
				"Dockerfile:5 |     RUN x", "Dockerfile:6 |     CMD y"},
		},
		"the cause, not what it cancelled": {
			err: errors.New("failed to solve: boom"),
			vertexes: []*controlapi.Vertex{
				{Digest: "0", Name: "RUN slow", Error: "context canceled"}, {Digest: "1", Name: "RUN bad", Error: "boom"},
			},
			want: "RUN bad: boom", lines: []string{"make: *** no rule"},
		},
		"a repository": {
			err: errors.New("failed to solve: error fetching default branch for repository https://g.test/x.git: git stderr:\nfatal: unable to access 'https://g.test/x.git/': no route\nfatal: really\n: exit status 128"),
			vertexes: []*controlapi.Vertex{{Digest: "1", Name: "[internal] load git source https://g.test/x.git",
				Error: "error fetching default branch for repository https://g.test/x.git: git stderr:\nfatal: unable to access 'https://g.test/x.git/': no route\nfatal: really\n: exit status 128"}},
			want: "cannot fetch https://g.test/x.git: unable to access 'https://g.test/x.git/': no route; really",
		},
		"no step": {err: errors.New("rpc error: code = Unknown desc = failed to solve: dockerfile parse error on line 1: unknown instruction: FORM"), want: "dockerfile parse error on line 1: unknown instruction: FORM"},
		"no base": {err: errors.New("failed to solve: nowhere/x: failed to resolve source metadata for nowhere/x"),
			want: `nowhere/x: failed to resolve source metadata for nowhere/x (the base image is not here and its registry can't be reached: load it with "orlop image load", or set a mirror)`},
	} {
		w := newWatch(func(planner.Event) {}, nil)
		w.update(&controlapi.StatusResponse{Vertexes: test.vertexes})
		w.update(&controlapi.StatusResponse{Logs: []*controlapi.VertexLog{{Vertex: "1", Msg: []byte("make: *** no ru")}}})
		w.update(&controlapi.StatusResponse{Logs: []*controlapi.VertexLog{{Vertex: "1", Msg: []byte("le")}}})
		err := (&Builder{}).failure(context.Background(), Request{}, test.err, w)
		var f *Failure
		if !errors.As(err, &f) || f.Error() != test.want {
			t.Errorf("%s:\ngot  %v\nwant %s", name, err, test.want)
			continue
		}
		if !slices.Equal(f.Lines(), test.lines) {
			t.Errorf("%s:\ngot  %q\nwant %q", name, f.Lines(), test.lines)
		}
	}
}

func TestOutputIsSplitIntoLines(t *testing.T) {
	for name, test := range map[string]struct {
		chunks []string
		want   string
		rest   string
	}{
		"lines":                   {[]string{"a\nb\n"}, "a|b", ""},
		"across chunks":           {[]string{"a", "b\nc", "\n", "d"}, "ab|c", "d"},
		"carriage returns":        {[]string{"a\r\nb\r\n"}, "a|b", ""},
		"returns across chunks":   {[]string{"a\r", "\nb"}, "a", "b"},
		"a progress bar":          {[]string{"10%\r50%\r", "100%\ndone\n"}, "100%|done", ""},
		"empty lines":             {[]string{"\n\na\n"}, "||a", ""},
		"a bar that never ends":   {[]string{strings.Repeat("\rabcdefg", longestLine/4), "\n"}, "abcdefg", ""},
		"a line that is too long": {[]string{strings.Repeat("x", longestLine+10), "y\n"}, strings.Repeat("x", longestLine) + "y", ""},
	} {
		s := &step{}
		var got []string
		for _, c := range test.chunks {
			s.print(c, func(line string) { got = append(got, line) })
		}
		if strings.Join(got, "|") != test.want || s.partial != test.rest {
			t.Errorf("%s: %.80q and %.80q", name, got, s.partial)
		}
	}
	s := &step{}
	for i := range 100 {
		s.print(fmt.Sprintf("%d\n", i), func(string) {})
	}
	if len(s.lines) != keptLines || s.lines[keptLines-1] != "99" {
		t.Errorf("kept are %v", s.lines)
	}
}

func TestBuildWithoutASession(t *testing.T) {
	_, err := New(nil, nil).Build(context.Background(), Request{Service: "web"}, func(planner.Event) {})
	if err == nil || !strings.Contains(err.Error(), "orlop build") {
		t.Errorf("the error is %v", err)
	}
}

// TestASecretThatAChunkCutsIsHidden: BuildKit hands on what a step prints in the
// pieces in which it was read.
func TestASecretThatAChunkCutsIsHidden(t *testing.T) {
	mask := &secret.Mask{}
	mask.Add([]byte("canary-canary"))
	const text = "it is canary-canary.\n"
	for cut := range len(text) {
		var lines []string
		w := newWatch(func(e planner.Event) { lines = append(lines, e.Lines...) }, mask)
		w.update(&controlapi.StatusResponse{Vertexes: []*controlapi.Vertex{{Digest: "d", Name: "RUN it"}}})
		for _, part := range []string{text[:cut], text[cut:]} {
			w.update(&controlapi.StatusResponse{Logs: []*controlapi.VertexLog{{Vertex: "d", Stream: 1, Msg: []byte(part)}}})
		}
		if want := []string{"it is ***."}; !slices.Equal(lines, want) {
			t.Errorf("cut at %d: %q", cut, lines)
		}
	}
}

// TestAnUnfinishedLineOfAFailureHidesTheSecretInIt: also where it is longer than
// what is kept.
func TestAnUnfinishedLineOfAFailureHidesTheSecretInIt(t *testing.T) {
	mask := &secret.Mask{}
	mask.Add([]byte("canary-canary"))
	w := newWatch(func(planner.Event) {}, mask)
	w.update(&controlapi.StatusResponse{Vertexes: []*controlapi.Vertex{{Digest: "d", Name: "RUN it", Error: "exit code 1"}}})
	long := strings.Repeat("canary-canary", longestLine/5)
	for _, part := range []string{long[:len(long)-7], long[len(long)-7:], " cana"} {
		w.update(&controlapi.StatusResponse{Logs: []*controlapi.VertexLog{{Vertex: "d", Stream: 2, Msg: []byte(part)}}})
	}
	line := w.failedStep().lines[0]
	if strings.Contains(line, "nary-") || !strings.HasSuffix(line, "*** cana") {
		t.Errorf("it ends with %q", line[len(line)-40:])
	}
}
