package builder

import (
	"testing"

	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"

	controlapi "github.com/moby/buildkit/api/services/control"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

func TestAMissingFileIsNamedWithItsContext(t *testing.T) {
	req := Request{Build: &spec.Build{Context: "/src/shop", AdditionalContexts: map[string]string{"more": "/src/more"}}}
	absent := func(path string) string {
		return `failed to compute cache key: failed to calculate checksum of ref abc::def: "` + path + `": not found`
	}
	for _, test := range []struct{ instruction, cause, want string }{
		{"COPY go.mod ./", absent("/go.mod"), "no file go.mod in the build context /src/shop"},
		{"COPY ./secret.env /x", absent("/secret.env"), "no file secret.env in the build context /src/shop: its .dockerignore leaves it out"},
		{"ADD ../up /y", absent("/up"), "no file up in the build context /src/shop: paths in a Dockerfile don't lead out of the context"},
		{"COPY --chmod=755 --from=more a /x", absent("/a"), "no file a in the context more (/src/more)"},
		{"copy --from=build /out/a /x", absent("/out/a"), "no file /out/a in the stage or image build"},
		{"RUN --mount=type=bind,from=build,source=/b,target=/m ls", absent("/b"), "no file /b in the stage or image build"},
		{"RUN --mount=type=bind,src=./b,target=/m ls", absent("/b"), "no file b in the build context /src/shop"},
		{"RUN make", "exit code: 2", ""},
	} {
		if got := missing(test.cause, test.instruction, req, []string{"secret.env"}); got != test.want {
			t.Errorf("%s: %q, want %q", test.instruction, got, test.want)
		}
	}
}

func TestInstructionOverSeveralLines(t *testing.T) {
	src := &errdefs.Source{
		Info:   &pb.SourceInfo{Data: []byte("FROM a\nCOPY --from=b \\\n  x \\\n  /y\nRUN z")},
		Ranges: []*pb.Range{{Start: &pb.Position{Line: 2}, End: &pb.Position{Line: 4}}},
	}
	if got := sourceOf(instructionOf([]*errdefs.Source{nil, src}), "x"); got != "b" {
		t.Errorf("it takes the file from %q", got)
	}
}

func TestWarningsTellOfIgnoredFiles(t *testing.T) {
	w := newWatch(func(planner.Event) {}, nil)
	w.update(&controlapi.StatusResponse{Warnings: []*controlapi.VertexWarning{
		{Short: []byte(`CopyIgnoredFile: Attempting to Copy file "src/x.log" that is excluded by .dockerignore (line 2)`)},
		{Short: []byte("FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)")},
	}})
	if got := w.ignoredCopies(); len(got) != 1 || got[0] != "src/x.log" {
		t.Errorf("ignored are %q", got)
	}
}
