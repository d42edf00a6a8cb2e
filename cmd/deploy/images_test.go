package deploy

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	core "github.com/orlop/orlop/deploy"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// registry is an engine with images, before registries where somebody else pushes, too.
type registry struct {
	api.RegistryClient
	api.ImagesClient
	here    map[string]string // digests of what the engine has, by names
	there   map[string]string // of what registries have
	refused string            // why no container may be made of what the engine has
	fetched []string
	isWhole bool // what was fetched last
}

func (r *registry) Describe(_ context.Context, req *api.DescribeRequest, _ ...grpc.CallOption) (*api.ImageDetails, error) {
	digest, ok := r.here[req.Name]
	if !ok {
		return nil, errors.New("it is not here")
	}
	return &api.ImageDetails{Name: req.Name, Digest: digest, Trust: &api.ImageTrust{Refused: r.refused}}, nil
}

func (r *registry) Fetch(_ context.Context, req *api.FetchRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[api.Progress], error) {
	r.fetched = append(r.fetched, req.Names...)
	r.isWhole = req.Whole
	return &progress{verdict: &api.Verdict{Ok: true}}, nil
}

func (r *registry) Push(_ context.Context, req *api.PushRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[api.Progress], error) {
	verdict := &api.Verdict{Ok: true, Pushed: map[string]string{}}
	for _, image := range req.Images {
		verdict.Pushed[image.Name] = r.here[image.Name]
		r.there[image.Name] = "sha256:of-another-push"
	}
	return &progress{verdict: verdict}, nil
}

// tagging is an engine that gives images names.
type tagging struct{ api.EngineClient }

func (tagging) TagImage(context.Context, *api.TagRequest, ...grpc.CallOption) (*api.TagReply, error) {
	return &api.TagReply{}, nil
}

func (r *registry) Resolve(_ context.Context, req *api.ResolveRequest, _ ...grpc.CallOption) (*api.ResolveReply, error) {
	return &api.ResolveReply{Digests: maps.Clone(r.there)}, nil
}

// progress is a call that ends at once.
type progress struct {
	grpc.ClientStream
	verdict *api.Verdict
}

func (p *progress) Recv() (*api.Progress, error) {
	if p.verdict == nil {
		return nil, io.EOF
	}
	v := p.verdict
	p.verdict = nil
	return &api.Progress{Of: &api.Progress_Verdict{Verdict: v}}, nil
}

func quiet(planner.Event) {}

func TestWhatWasPushedIsDeployedAndNotWhatATagMeansLater(t *testing.T) {
	r := &registry{here: map[string]string{"r.example/web:1": "sha256:ours"}, there: map[string]string{}}
	i := &images{Invocation: &cli.Invocation{}, what: &what{}}
	ref, err := i.push(t.Context(), &api.Client{Registry: r, Image: r}, &api.PushImage{Name: "r.example/web:1", Service: "web"}, quiet)
	if err != nil || ref != "r.example/web@sha256:ours" {
		t.Errorf("it is %s (%v), want the digest that was pushed", ref, err)
	}
}

func TestWhichImageIsCopied(t *testing.T) {
	const pin = "sha256:9d75f0d7c398df565d7ac04c6819b62d6d8b9560f5eb4672596ecd8f7e96ae91"
	pinned := "db@" + pin
	for name, c := range map[string]struct {
		here    map[string]string
		pull    string
		of      pushing
		fetched string // "": it is not asked for
		source  string
	}{
		"one that is here":                   {map[string]string{"db:1": "sha256:a"}, "missing", pushing{}, "", "db:1"},
		"one that is not":                    {nil, "missing", pushing{}, "db:1", "db:1"},
		"what the name means now":            {map[string]string{"db:1": "sha256:a"}, "always", pushing{}, "db:1", "db:1"},
		"the locked one, not what is here":   {map[string]string{"db:1": "sha256:a"}, "missing", pushing{pin: pin}, pinned, pinned},
		"the locked one, whatever is here":   {map[string]string{"db:1": pin, pinned: pin}, "missing", pushing{pin: pin}, pinned, pinned},
		"a platform of it under its name":    {map[string]string{"db:1": pin}, "always", pushing{pin: pin, platform: "linux/arm64"}, "", "db:1"},
		"a platform of it by its digest":     {map[string]string{"db:1": "sha256:a", pinned: pin}, "always", pushing{pin: pin, platform: "linux/arm64"}, "", pinned},
		"a platform of it that is not there": {nil, "missing", pushing{pin: pin, platform: "linux/arm64"}, pinned, pinned},
	} {
		t.Run(name, func(t *testing.T) {
			r := &registry{here: c.here}
			i := &images{Invocation: &cli.Invocation{}, what: &what{pull: c.pull}}
			c.of.name = "db:1"
			source, err := i.fetch(t.Context(), &api.Client{Registry: r, Image: r}, &c.of, quiet)
			if fetched := strings.Join(r.fetched, " "); err != nil || fetched != c.fetched || source != c.source {
				t.Errorf("it is %s, %q was fetched (%v), want %s and %q", source, fetched, err, c.source, c.fetched)
			}
			if want := c.of.pin != "" && c.of.platform == ""; r.isWhole != want {
				t.Errorf("all of its platforms are fetched: %v, want %v", r.isWhole, want)
			}
		})
	}
}

func TestWhatThePolicyRefusesIsNotTakenAsItIs(t *testing.T) {
	r := &registry{here: map[string]string{"db:1": "sha256:a"}, refused: "it is not signed"}
	i := &images{Invocation: &cli.Invocation{}, what: &what{pull: "missing"}}
	if _, err := i.fetch(t.Context(), &api.Client{Registry: r, Image: r}, &pushing{name: "db:1"}, quiet); err != nil || len(r.fetched) != 1 {
		t.Errorf("%q was fetched (%v): it was to be held to the policy again", r.fetched, err)
	}
}

func TestWhatIsPinnedIsDeployedAsThatOrNotAtAll(t *testing.T) {
	const pin = "sha256:9d75f0d7c398df565d7ac04c6819b62d6d8b9560f5eb4672596ecd8f7e96ae91"
	for pushed, isRight := range map[string]bool{pin: true, "sha256:of-one-platform": false} {
		r := &registry{here: map[string]string{"r.example/db:1": pushed}, there: map[string]string{}}
		i := &images{Invocation: &cli.Invocation{}, what: &what{}, pushes: map[string]pushing{"image db": {target: "r.example/db:1", name: "db:1", pin: pin}}, client: &api.Client{Registry: r, Image: r, EngineClient: tagging{}}}
		ref, err := i.build(t.Context(), "image db", quiet)
		if isRight != (err == nil && ref == "r.example/db@"+pin) {
			t.Errorf("%s was pushed, and is %q (%v)", pushed, ref, err)
		}
	}
}

func TestWhatIsCopiedIsCopiedAgainWhenTheLockSaysSo(t *testing.T) {
	const one, two = "sha256:1111", "sha256:2222"
	image := &spec.Service{Image: "db:1"}
	copied := &core.Revision{Document: &core.Document{Images: map[string]string{"services.db": "r/db@sha256:c"}, Named: map[string]string{"services.db": "db@" + one}}}
	for name, c := range map[string]struct {
		locked string
		pull   string
		again  bool
	}{
		"locked as it was":             {one, "missing", false},
		"locked, and asked for always": {one, "always", false},
		"locked otherwise":             {two, "missing", true},
		"locked no more":               {"", "missing", true},
		"to another registry":          {one, "missing", true},
	} {
		t.Run(name, func(t *testing.T) {
			registry := "r"
			if name == "to another registry" {
				registry = "s"
			}
			i := &images{what: &what{registry: registry, pull: c.pull, copyImages: true}, pushes: map[string]pushing{}}
			d := core.NewDocument(&spec.Project{}, nil)
			how, err := i.copied(d, copied, "services.db", image, map[string]string{"db:1": c.locked})
			if err != nil || (how.Action == planner.Push) != c.again {
				t.Fatalf("it is %v (%v), want a push: %v", how, err, c.again)
			}
			if pushes := slices.Collect(maps.Values(i.pushes)); c.again && (len(pushes) != 1 || pushes[0].pin != c.locked) {
				t.Errorf("pushed is %v, want %s", pushes, c.locked)
			}
		})
	}
}

func TestWhatHasADigestOrAPlatformIsCopiedAsThat(t *testing.T) {
	const digest = "sha256:9d75f0d7c398df565d7ac04c6819b62d6d8b9560f5eb4672596ecd8f7e96ae91"
	for name, c := range map[string]struct {
		service spec.Service
		want    pushing
	}{
		"a digest":           {spec.Service{Image: "db@" + digest}, pushing{name: "db", pin: digest}},
		"a tag and a digest": {spec.Service{Image: "db:1@" + digest}, pushing{name: "db:1", pin: digest}},
		"a platform":         {spec.Service{Image: "db:1", Platform: "linux/arm64"}, pushing{name: "db:1", platform: "linux/arm64"}},
	} {
		t.Run(name, func(t *testing.T) {
			i := &images{what: &what{registry: "r.example", copyImages: true}, pushes: map[string]pushing{}}
			how, err := i.copied(core.NewDocument(&spec.Project{}, nil), nil, "services.db", &c.service, nil)
			got := i.pushes[how.Step]
			if c.want.target = got.target; err != nil || got != c.want || !strings.HasPrefix(got.target, "r.example/db:") {
				t.Errorf("it is %+v (%v), want %+v", got, err, c.want)
			}
		})
	}
}

// TestWhoseWaitingIsLeftOutIsTold: where no registry has the program that waits; not where nothing would be waited for.
func TestWhoseWaitingIsLeftOutIsTold(t *testing.T) {
	needs := func(other string, required bool) *spec.Service {
		return &spec.Service{Image: "x", DependsOn: map[string]spec.Dependency{other: {Condition: spec.ServiceHealthy, Required: required}}}
	}
	project := &spec.Project{Services: map[string]*spec.Service{
		"db": {Image: "db"}, "web": needs("db", true), "worker": needs("db", true), "optional": needs("db", false), "away": needs("elsewhere", true),
	}}
	for _, noGates := range []bool{false, true} {
		i := &images{what: &what{noGates: noGates, planOnly: true, offline: true}, project: project}
		d := core.NewDocument(project, nil)
		if err := i.gate(t.Context(), d, nil); err != nil || d.Gate != "" {
			t.Fatalf("the gate is %q (%v)", d.Gate, err)
		}
		var told []string
		for _, n := range i.notes {
			told = append(told, n.Path)
		}
		if want := []string{"services.web.depends_on", "services.worker.depends_on"}; !noGates && !slices.Equal(told, want) || noGates && len(told) > 0 {
			t.Errorf("with --no-gates %v: told is %q", noGates, told)
		}
	}
}
