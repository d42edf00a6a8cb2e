// Package builder turns a service's build section into an image. Its engine
// half asks BuildKit for it and reports what happens; its session half, which
// the command links, lends BuildKit the caller's files, secrets and
// credentials, and computes the fingerprint of what a build depends on, so
// that a build whose inputs are unchanged is never asked for. It links
// BuildKit's client side only.
package builder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	gatewayapi "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/codes"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/secret"
)

// Options are what a caller asks of all builds of a command.
type Options struct {
	NoCache   bool              `json:"no_cache,omitempty"`
	Pull      bool              `json:"pull,omitempty"`     // look for newer base images
	Args      map[string]string `json:"args,omitempty"`     // over those of the stack file
	CacheTo   []Cache           `json:"cache_to,omitempty"` // each build writes its part there
	CacheFrom []Cache           `json:"cache_from,omitempty"`
	Epoch     string            `json:"epoch,omitempty"` // SOURCE_DATE_EPOCH of the caller's environment
	Over      Over              `json:"over,omitzero"`
	Check     bool              `json:"check,omitempty"` // look for mistakes in Dockerfiles, and build nothing

	// Push has a BuildKit that is not the engine's push what it builds, and keep nothing of it; Insecure, without TLS.
	Push     bool `json:"-"`
	Insecure bool `json:"-"`

	// Tell is told how far a fingerprint is that takes long; nil tells nobody.
	Tell func(text string) `json:"-"`
}

// Request is one image to build.
type Request struct {
	Project   string
	Dir       string // of the project: relative directories of caches start from it
	Service   string
	Build     *spec.Build
	Platforms []string          // none is the machine's own
	Tag       string            // full reference to store the image under
	Images    map[string]string // service -> full reference, for contexts "service:NAME"
	Session   string            // in which the caller lends the files of this build
	Options   Options
	Places    spec.Places  // of the stack file
	Existing  string       // digest that Tag points to now, "" if none
	Mask      *secret.Mask // hides secrets in what the build prints; nil hides none
}

// Builder asks a BuildKit in the same process for images.
type Builder struct {
	control controlapi.ControlClient
	bridge  gatewayapi.LLBBridgeClient
}

// New gives a Builder that talks to a BuildKit control service, over a
// connection that restores BuildKit's own errors (grpcerrors).
func New(control controlapi.ControlClient, bridge gatewayapi.LLBBridgeClient) *Builder {
	return &Builder{control: control, bridge: bridge}
}

// Build builds one image and gives its digest. The events of note tell what
// BuildKit does. The error of a failing step is a *Failure.
func (b *Builder) Build(ctx context.Context, req Request, note func(planner.Event)) (string, error) {
	if req.Session == "" {
		return "", errors.New("the command that asks for the build lends no files: run \"orlop build\" from the project's directory")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var err error
	req.Build = req.Options.Over.Build(req.Build)
	if req.Options, err = req.Options.withEpoch(req.Build); err != nil {
		return "", err
	}
	caches, err := cacheOptions(req)
	if err != nil {
		return "", err
	}
	ref := identity.NewID()
	watch := newWatch(note, req.Mask)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		_ = b.watch(ctx, ref, watch) // what it misses is only told less well
	}()
	res, err := b.control.Solve(ctx, &controlapi.SolveRequest{
		Ref: ref, Session: req.Session, Frontend: "dockerfile.v0", FrontendAttrs: attributes(req, caches.Imports),
		Exporters: []*controlapi.Exporter{{Type: "image", Attrs: export(req)}},
		Cache:     caches, Entitlements: req.Build.Granted(),
	})
	if err != nil {
		// The status ends by itself, with what explains the failure; not that of a
		// build which never began.
		patience := time.AfterFunc(statusPatience, cancel)
		<-watched
		patience.Stop()
		return "", b.failure(ctx, req, err, watch)
	}
	<-watched
	return res.ExporterResponse["containerimage.digest"], nil
}

// export says what becomes of what is built. An image of a said time has its files
// of that time at the latest; its layers are not those of BuildKit's, and are
// unpacked when a container is made of them.
func export(req Request) map[string]string {
	attrs := map[string]string{
		"name": strings.Join(names(req), ","), "unpack": "true", "store": "true", "oci-mediatypes": "true", "compression": "uncompressed",
	}
	if req.Options.Push {
		attrs = map[string]string{"name": req.Tag, "push": "true", "oci-mediatypes": "true"}
		if req.Options.Insecure {
			attrs["registry.insecure"] = "true"
		}
		if epochOf(req) != "" {
			attrs["rewrite-timestamp"] = "true"
		}
		return attrs
	}
	if epochOf(req) != "" {
		attrs["unpack"], attrs["rewrite-timestamp"] = "false", "true"
	}
	return attrs
}

// statusPatience is how long the status of a build that has failed may go on.
const statusPatience = time.Second

// watch reads the status of a build to its end.
func (b *Builder) watch(ctx context.Context, ref string, w *watch) error {
	stream, err := b.control.Status(ctx, &controlapi.StatusRequest{Ref: ref})
	if err != nil {
		return err
	}
	for {
		msg, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		w.update(msg)
	}
}

// attributes are what the Dockerfile frontend is told.
func attributes(req Request, imports []*controlapi.CacheOptionsEntry) map[string]string {
	bld := req.Build
	a := map[string]string{
		"filename": dockerfileBase(bld), "image-resolve-mode": "local",
		// The frontend is the one that is built in, whatever version of it a
		// "# syntax" line asks for; other ones are refused before (Inputs).
		"cmdline": "docker/dockerfile:1",
	}
	if spec.IsRemote(bld.Context) {
		a["context"] = bld.Context
		if bld.DockerfileInline != "" {
			a["dockerfilekey"] = dockerfileName
		}
	}
	if bld.Target != "" {
		a["target"] = bld.Target
	}
	if req.Options.Pull || bld.Pull {
		a["image-resolve-mode"] = "pull"
	}
	for k, v := range bld.Args {
		if v != nil {
			a["build-arg:"+k] = *v
		}
	}
	for k, v := range req.Options.Args {
		a["build-arg:"+k] = v
	}
	for k, v := range bld.Labels {
		a["label:"+k] = v
	}
	if text, err := json.Marshal(imports); err == nil && len(imports) > 0 {
		a["cache-imports"] = string(text) // a frontend solves for itself, and asks the caches that it knows of
	}
	for name, from := range bld.AdditionalContexts {
		a["context:"+name] = additional(req, name, from)
	}
	stepAttributes(a, req)
	return a
}

// additional is how a named context is told to the frontend.
func additional(req Request, name, from string) string {
	if other, ok := strings.CutPrefix(from, "service:"); ok {
		return "docker-image://" + req.Images[other]
	}
	if repo, ok := strings.CutPrefix(from, "github.com/"); ok { // a name of a context must have a scheme
		repo, ref, isRef := strings.Cut(repo, "#")
		from = "https://github.com/" + strings.TrimSuffix(repo, ".git") + ".git"
		if isRef {
			from += "#" + ref
		}
	}
	if spec.IsRemote(from) {
		return from
	}
	return "local:" + extraName(name)
}

// Failure is a build that failed: the step, what it printed, and where in the
// Dockerfile it stands.
type Failure struct {
	Step   string
	Cause  string
	Output []string // last lines that the step printed
	Source []string // lines of the Dockerfile, the failing ones marked
}

// Error is the cause in a line.
func (f *Failure) Error() string {
	if f.Step == "" {
		return f.Cause
	}
	return f.Step + ": " + f.Cause
}

// Lines are the output that explains the failure, and the Dockerfile's lines.
func (f *Failure) Lines() []string {
	if len(f.Source) == 0 {
		return f.Output
	}
	return slices.Concat(f.Output, f.Source)
}

func (b *Builder) failure(ctx context.Context, req Request, err error, w *watch) error {
	if cause := context.Cause(ctx); cause != nil && grpcerrors.Code(err) == codes.Canceled && w.failedStep() == nil {
		return cause
	}
	f := &Failure{Cause: lastCause(err)}
	if v := w.failedStep(); v != nil {
		f.Step, f.Output = v.name, v.lines
		if v.err != "" {
			f.Cause = lastPart(v.err)
		}
	}
	if strings.HasPrefix(f.Cause, "invalid response status ") && f.Step == "[internal] load remote build context" {
		f.Step, f.Cause = "", "cannot fetch the context "+shownAddress(req.Build.Context)+": "+f.Cause
	}
	if said := gitSaid(f.Cause); said != "" {
		of := strings.TrimPrefix(f.Step, "[internal] load git source ")
		f.Step, f.Cause, f.Output = "", strings.TrimSpace("cannot fetch "+of)+": "+said, nil
	}
	sources := errdefs.Sources(err)
	for _, src := range sources {
		f.Source = append(f.Source, sourceLines(src)...)
	}
	if text := missing(f.Cause, instructionOf(sources), req, w.ignoredCopies()); text != "" {
		f.Step, f.Cause = "", text // the lines of the Dockerfile show the step
	}
	if text := otherMachine(req, f.Output); text != "" {
		f.Step, f.Cause = "", text
	}
	if text := noScanner(req, err); text != "" {
		return errors.New(text)
	}
	if strings.Contains(f.Cause, "failed to resolve source metadata") || strings.Contains(err.Error(), "no such host") {
		f.Cause += " (the base image is not here and its registry can't be reached: load it with \"orlop image load\", or set a mirror)"
	}
	return f
}

// shownAddress is an address without the password in it.
func shownAddress(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Redacted()
	}
	return "that is remote"
}

// gitSaid is what git has said on several lines, in one and without its names for kinds
// of messages; "" where BuildKit tells nothing of git.
func gitSaid(text string) string {
	_, said, isGit := strings.Cut(text, "git stderr:\n")
	if !isGit {
		return ""
	}
	var lines []string
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		line = strings.TrimPrefix(strings.TrimPrefix(line, "fatal: "), "error: ")
		if line != "" && !strings.HasPrefix(line, ": exit status ") && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

func lastCause(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return lastPart(err.Error())
		}
		err = next
	}
}

// lastPart drops what BuildKit says of itself before the cause.
func lastPart(text string) string {
	for _, p := range []string{"failed to solve: ", "failed to load LLB: ", "rpc error: code = Unknown desc = ", "process \""} {
		if p == "process \"" {
			if i := strings.Index(text, "did not complete successfully: "); i >= 0 {
				return text[i+len("did not complete successfully: "):]
			}
			continue
		}
		if i := strings.LastIndex(text, p); i >= 0 {
			text = text[i+len(p):]
		}
	}
	return text
}

// sourceLines shows the lines of a Dockerfile around a mistake.
func sourceLines(src *errdefs.Source) []string {
	if src == nil || src.Info == nil || len(src.Ranges) == 0 {
		return nil
	}
	text := strings.Split(string(src.Info.Data), "\n")
	from, to := int(src.Ranges[0].Start.Line), int(src.Ranges[0].End.Line)
	for _, r := range src.Ranges {
		from, to = min(from, int(r.Start.Line)), max(to, int(r.End.Line))
	}
	var out []string
	for n := max(1, from-2); n <= min(len(text), to+2); n++ {
		mark := "    "
		if n >= from && n <= to {
			mark = ">>> "
		}
		out = append(out, fmt.Sprintf("%s:%d | %s%s", src.Info.Filename, n, mark, text[n-1]))
	}
	return out
}
