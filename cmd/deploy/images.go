package deploy

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/remote"
	core "github.com/orlop/orlop/deploy"
	"github.com/orlop/orlop/deploy/manifest"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// pushing is an image on its way to a registry.
type pushing struct {
	target   string // where to
	name     string // that the engine has it by
	pin      string // the digest that it has to have; "": any
	platform string // the only one; "": all that are here
}

// wanted is how a registry is asked for it.
func (p *pushing) wanted() string {
	if p.pin == "" {
		return p.name
	}
	return repository(p.name) + "@" + p.pin
}

// isWhole says that it is copied with all of its platforms: its digest is that of all of them.
func (p *pushing) isWhole() bool { return p.pin != "" && p.platform == "" }

// images decides which image each container of a deploy has, and makes those that are not there.
type images struct {
	*cli.Invocation
	what    *what
	project *spec.Project

	pushes  map[string]pushing // of steps that build or copy
	toBuild []string
	notes   spec.Diagnostics  // what is to be said of what was decided
	done    map[string]string // references of images that were built before, by what they were built of

	mu     sync.Mutex
	client *api.Client
	builds *building // nil: nothing is built yet

	elsewhere *elsewhere // --builder; nil: not connected
}

func (i *images) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.client != nil {
		i.client.Close()
	}
	if i.elsewhere != nil {
		i.elsewhere.Close()
	}
}

// engine connects to the engine, which builds and pushes; a deploy that needs neither asks for none.
func (i *images) engine(ctx context.Context) (*api.Client, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.client != nil {
		return i.client, nil
	}
	client, err := i.Connect(ctx)
	i.client = client
	return client, err
}

// decide fills in the images of a document: those that are deployed already stay as they are, of those that are only named
// registries say the digest. It gives how the rest comes to be: by which step.
func (i *images) decide(ctx context.Context, d *core.Document, last *core.Revision) (map[string]core.Image, error) {
	i.pushes, i.toBuild, i.notes = map[string]pushing{}, nil, nil
	if err := i.fingerprints(ctx, d); err != nil {
		return nil, err
	}
	locked, _, err := remote.Images(i.project.WorkingDir)
	if err != nil {
		return nil, err
	}
	made := map[string]core.Image{}
	named := map[string]string{} // what registries have to be asked for, by paths
	makers := i.makers()
	var errs []error
	for _, at := range slices.Sorted(maps.Keys(containers(i.project))) {
		s, service := containers(i.project)[at], serviceOf(at)
		maker := makers[cmp.Or(s.Image, i.project.ImageName(service))]
		switch {
		case maker != "":
			how, err := i.built(d, last, at, maker)
			if err != nil {
				errs = append(errs, err)
			} else if how != (core.Image{}) {
				made[at] = how
			}
		case i.what.copyImages:
			if how, err := i.copied(d, last, at, s, locked); err != nil {
				errs = append(errs, err)
			} else if how != (core.Image{}) {
				made[at] = how
			}
		case strings.Contains(s.Image, "@"):
			d.Images[at], d.Named[at] = s.Image, s.Image
		default:
			named[at] = s.Image
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if err := i.resolve(ctx, d, last, named, locked); err != nil {
		return nil, err
	}
	i.checks(ctx, d, last)
	return made, i.gate(ctx, d, last)
}

// containers are what has an image of its own, by its path in the stack file; images that are mounted, too.
func containers(p *spec.Project) map[string]*spec.Service {
	out := map[string]*spec.Service{}
	add := func(at string, s *spec.Service) {
		out[at] = s
		for n, first := range s.PreStart {
			if first.Image != "" {
				out[fmt.Sprintf("%s.pre_start[%d]", at, n)] = first
			}
		}
		for _, m := range manifest.Mounts(p, s) {
			if m.Type == spec.MountImage {
				out[manifest.Mounted(at, m.Source)] = &spec.Service{Image: m.Source, Platform: s.Platform}
			}
		}
	}
	for name, s := range p.Services {
		add("services."+name, s)
	}
	for _, name := range p.Scheduled() {
		add("jobs."+name, p.Jobs[name])
	}
	return out
}

func serviceOf(at string) string {
	at, _, _ = strings.Cut(at, ".pre_start[")
	at, _, _ = strings.Cut(at, manifest.Mounted("", ""))
	return strings.TrimPrefix(strings.TrimPrefix(at, "services."), "jobs.")
}

// keyOf is the key of the stack file that names an image.
func keyOf(at string) string {
	if own, _, isMounted := strings.Cut(at, manifest.Mounted("", "")); isMounted {
		return own + ".volumes"
	}
	return at + ".image"
}

// makers are the services that build an image, by its name.
func (i *images) makers() map[string]string {
	out := map[string]string{}
	for _, list := range []map[string]*spec.Service{i.project.Bases, i.project.Jobs, i.project.Services} {
		for _, name := range slices.Sorted(maps.Keys(list)) {
			if list[name].Build != nil {
				out[i.project.ImageName(name)] = name
			}
		}
	}
	return out
}

// fingerprints finds out what builds would be made of.
func (i *images) fingerprints(ctx context.Context, d *core.Document) error {
	if i.Builder == nil {
		return nil
	}
	services := cli.Builders(i.project, i.project)
	services = append(services, cli.Builders(i.project, i.project.Work())...)
	slices.Sort(services)
	services = slices.Compact(services)
	if len(services) == 0 {
		return nil
	}
	if err := i.CheckBuilds(i.project, services); err != nil {
		return err
	}
	var err error
	d.Inputs, err = i.Builder.Inputs(ctx, i.project, cli.BuildOptions{Services: services, Environ: i.Env, Tell: i.SayNotice})
	return err
}

const tagLength = 12 // digits of a fingerprint in a tag

// built says how an image comes to be that the stack builds; the zero Image, that the one that is deployed does.
func (i *images) built(d *core.Document, last *core.Revision, at, maker string) (core.Image, error) {
	in := d.Inputs[maker]
	if last != nil && !i.what.build && in != nil && isPushed(last.Document.Images[at]) {
		if before := last.Document.Inputs[maker]; before != nil && before.Sum == in.Sum {
			if want, err := i.target(maker, ""); err == nil && (want == "" || repository(want) == repository(last.Document.Images[at])) {
				d.Images[at] = last.Document.Images[at]
				return core.Image{}, nil
			}
		}
	}
	if i.what.noBuild {
		return core.Image{}, fmt.Errorf("%s is to be built, and --no-build is given", maker)
	}
	sum := "unknown"
	if in != nil {
		sum = in.Sum[:tagLength]
	}
	target, err := i.target(maker, sum)
	if err != nil {
		return core.Image{}, err
	}
	if target == "" {
		return core.Image{}, fmt.Errorf("services.%s builds an image that the cluster has to pull: name a registry with --registry or ORLOP_REGISTRY, or in its image: (%s)", maker, i.project.Places.Nearest("services."+maker+".build"))
	}
	if ref := i.done[maker+" "+sum]; ref != "" && repository(ref) == repository(target) {
		d.Images[at] = ref
		return core.Image{}, nil
	}
	i.pushes[maker] = pushing{target: target, name: i.project.ImageName(maker)}
	if !slices.Contains(i.toBuild, maker) {
		i.toBuild = append(i.toBuild, maker)
	}
	d.Images[at] = target
	return core.Image{Action: planner.Build, Step: maker}, nil
}

// target is where an image is pushed to: the registry of its name, or the one that is given; "": there is none.
func (i *images) target(service, tag string) (string, error) {
	name := i.project.ImageName(service)
	if registry, _, has := strings.Cut(name, "/"); has && (strings.ContainsAny(registry, ".:") || registry == "localhost") {
		return name, nil
	}
	if i.what.registry == "" {
		return "", nil
	}
	return strings.TrimSuffix(i.what.registry, "/") + "/" + bare(name) + ":" + tag, nil
}

// bare is the last part of a name, without tag and digest.
func bare(name string) string {
	name, _, _ = strings.Cut(path.Base(name), "@")
	name, _, _ = strings.Cut(name, ":")
	return name
}

// repository is a reference without tag and digest.
func repository(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	if slash, colon := strings.LastIndexByte(ref, '/'), strings.LastIndexByte(ref, ':'); colon > slash {
		ref = ref[:colon]
	}
	return ref
}

// isPushed says that a reference names what a registry has: one of a deploy that failed before its push is a tag alone.
func isPushed(ref string) bool { return strings.Contains(ref, "@") }

// copied says how an image of elsewhere comes to the registry that is given: the one of its digest or of orlop.lock, or the one that its
// name means.
func (i *images) copied(d *core.Document, last *core.Revision, at string, s *spec.Service, locked map[string]string) (core.Image, error) {
	if i.what.registry == "" {
		return core.Image{}, errors.New("--copy-images needs a --registry to copy them to")
	}
	key, err := remote.LockName(s.Image)
	if err != nil {
		return core.Image{}, fmt.Errorf("%s: %w", keyOf(at), err)
	}
	p := pushing{name: s.Image, pin: locked[key], platform: s.Platform}
	if name, digest, isPinned := strings.Cut(s.Image, "@"); isPinned {
		p.name, p.pin = name, digest
	}
	wanted := p.wanted()
	if p.platform != "" {
		wanted += " for " + p.platform
	}
	place := strings.TrimSuffix(i.what.registry, "/") + "/" + bare(p.name)
	if last != nil && last.Document.Named[at] == wanted && isPushed(last.Document.Images[at]) && repository(last.Document.Images[at]) == place && (p.pin != "" || i.what.pull != "always") {
		d.Images[at], d.Named[at] = last.Document.Images[at], wanted
		return core.Image{}, nil
	}
	sum := sha256.Sum256([]byte(wanted))
	p.target = place + ":" + hex.EncodeToString(sum[:])[:tagLength]
	step := "image " + wanted
	i.pushes[step] = p
	d.Images[at], d.Named[at] = p.target, wanted
	return core.Image{Action: planner.Push, Step: step}, nil
}

// resolve finds the digests of images that are only named: in orlop.lock, in what is deployed, or at their registries.
func (i *images) resolve(ctx context.Context, d *core.Document, last *core.Revision, named, locked map[string]string) error {
	ask := map[string][]string{}
	for at, name := range named {
		d.Named[at] = name
		key, err := remote.LockName(name)
		if err != nil {
			return fmt.Errorf("%s: %w", keyOf(at), err)
		}
		switch {
		case locked[key] != "":
			d.Images[at] = repository(name) + "@" + locked[key]
		case last != nil && last.Document.Named[at] == name && isPushed(last.Document.Images[at]) && i.what.pull != "always":
			d.Images[at] = last.Document.Images[at]
		default:
			ask[name] = append(ask[name], at)
		}
	}
	if len(ask) == 0 || i.what.offline {
		return nil
	}
	client, err := i.engine(ctx)
	if err != nil {
		return err
	}
	digests, failed, err := i.Resolve(ctx, client, i.project, slices.Sorted(maps.Keys(ask)))
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(ask)) {
		for _, at := range ask[name] {
			if digests[name] != "" {
				d.Images[at] = repository(name) + "@" + digests[name]
			}
		}
		if digests[name] == "" {
			errs = append(errs, fmt.Errorf("%s (%s): which image %s is can't be found out: %s; --copy-images pushes one that is here to --registry", keyOf(ask[name][0]), at(i.project, keyOf(ask[name][0])), name, failed[name]))
		}
	}
	return errors.Join(errs...)
}

func at(p *spec.Project, path string) string {
	place := p.Places.Nearest(path)
	return fmt.Sprintf("%s:%d", place.File[strings.LastIndexByte(place.File, '/')+1:], place.Line)
}

// checks takes the health checks that images bring for services that have none in the file and are waited for.
func (i *images) checks(ctx context.Context, d *core.Document, last *core.Revision) {
	for _, s := range i.project.Services {
		for other, how := range s.DependsOn {
			of := i.project.Services[other]
			if how.Condition != spec.ServiceHealthy || of == nil || of.HealthCheck != nil && len(of.HealthCheck.Test) > 0 || d.Checks[other] != nil {
				continue
			}
			if i.what.offline {
				continue
			}
			if client, err := i.engine(ctx); err == nil {
				if check := checkOf(ctx, client, i.project.ImageName(other)); check != nil {
					d.Checks[other] = check
					continue
				}
			}
			if last != nil && last.Document.Checks[other] != nil {
				d.Checks[other] = last.Document.Checks[other]
			}
		}
	}
}

// checkOf is the health check of an image that the engine has; nil if it has none.
func checkOf(ctx context.Context, client *api.Client, name string) *spec.HealthCheck {
	details, err := client.Image.Describe(ctx, &api.DescribeRequest{Name: name})
	if err != nil {
		return nil
	}
	var config struct {
		Config struct {
			Healthcheck *struct {
				Test                                          []string
				Interval, Timeout, StartPeriod, StartInterval time.Duration
				Retries                                       int
			}
		} `json:"config"`
	}
	if json.Unmarshal(details.Config, &config) != nil || config.Config.Healthcheck == nil {
		return nil
	}
	of := config.Config.Healthcheck
	check := &spec.HealthCheck{Test: of.Test}
	for _, span := range []struct {
		to   **spec.Duration
		from time.Duration
	}{{&check.Interval, of.Interval}, {&check.Timeout, of.Timeout}, {&check.StartPeriod, of.StartPeriod}, {&check.StartInterval, of.StartInterval}} {
		if span.from > 0 {
			d := spec.Duration(span.from)
			*span.to = &d
		}
	}
	if of.Retries > 0 {
		check.Retries = &of.Retries
	}
	return check
}

// gateImage is what gates are called in a registry.
const gateImage = "orlop-gate"

// gate decides which image waits for dependencies: one of our program, pushed beside the stack's own.
func (i *images) gate(ctx context.Context, d *core.Document, last *core.Revision) error {
	var waiting []string
	for _, name := range slices.Sorted(maps.Keys(i.project.Services)) {
		if waits(i.project, name) {
			waiting = append(waiting, name)
		}
	}
	if i.what.noGates || len(waiting) == 0 {
		return nil
	}
	if i.what.registry == "" {
		if last != nil && last.Document.Gate != "" {
			d.Gate = last.Document.Gate
			return nil
		}
		for _, name := range waiting {
			path := "services." + name + ".depends_on"
			i.notes = append(i.notes, spec.Diagnostic{
				Severity: spec.Warning, Path: path, Place: i.project.Places.Nearest(path), Message: "a deploy waits for it, and pods that are started anew, or by kubectl, do not",
				Hint: "--registry names a place for the program that waits in them; --no-gates says that they need not",
			})
		}
		return nil
	}
	program, tag, err := gateProgram()
	if err != nil {
		return err
	}
	target := strings.TrimSuffix(i.what.registry, "/") + "/" + gateImage + ":" + tag
	if last != nil && isPushed(last.Document.Gate) && repository(last.Document.Gate) == repository(target) && last.Document.Named["gate"] == target {
		d.Gate, d.Named["gate"] = last.Document.Gate, target
		return nil
	}
	d.Named["gate"] = target
	if i.DryRun || i.what.planOnly {
		d.Gate = target
		return nil
	}
	client, err := i.engine(ctx)
	if err != nil {
		return err
	}
	if d.Gate, err = i.pushGate(ctx, client, program, target); err != nil {
		return fmt.Errorf("cannot push the program that waits for dependencies: %w", err)
	}
	return nil
}

// waits says that the pods of a service wait for another one: for one that is there, and may not fail.
func waits(p *spec.Project, name string) bool {
	for other, how := range p.Services[name].DependsOn {
		if how.Required && p.Services[other] != nil {
			return true
		}
	}
	return false
}

// gateProgram is where our program is, and a tag that is another for each of its contents.
func gateProgram() (path, tag string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", "", fmt.Errorf("cannot tell where the command is installed: %w", err)
	}
	if path, err = cli.FindProgram(self, "orlop-gate"); err != nil {
		return "", "", err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", "", fmt.Errorf("cannot read %s: %w", path, err)
	}
	sum := sha256.Sum256(content)
	return path, hex.EncodeToString(sum[:])[:tagLength], nil
}

// pushGate makes an image of the program alone and pushes it.
func (i *images) pushGate(ctx context.Context, client *api.Client, program, target string) (string, error) {
	content, err := os.ReadFile(program)
	if err != nil {
		return "", err
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: gateImage, Mode: 0o755, Size: int64(len(content)), ModTime: time.Unix(0, 0)}); err != nil {
		return "", err
	}
	if _, err := w.Write(content); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	stream, err := client.File.Import(ctx)
	if err != nil {
		return "", cli.Cause(ctx, err)
	}
	start := &api.ImportInput_Start{Name: target, Changes: []string{`ENTRYPOINT ["/` + gateImage + `"]`}}
	if err := stream.Send(&api.ImportInput{Of: &api.ImportInput_Start_{Start: start}}); err != nil && !errors.Is(err, io.EOF) {
		return "", cli.Cause(ctx, err)
	}
	for chunk := range slices.Chunk(archive.Bytes(), 1<<20) {
		if err := stream.Send(&api.ImportInput{Of: &api.ImportInput_Data{Data: chunk}}); err != nil {
			break // why comes with the answer
		}
	}
	if _, err := stream.CloseAndRecv(); err != nil {
		return "", cli.Cause(ctx, err)
	}
	return i.push(ctx, client, &api.PushImage{Name: target, Service: gateImage}, func(planner.Event) {})
}

// makeAll makes all images that a document has only the names of.
func (i *images) makeAll(ctx context.Context, d *core.Document, made map[string]core.Image) error {
	refs := map[string]string{}
	for _, at := range slices.Sorted(maps.Keys(made)) {
		step := made[at].Step
		if refs[step] == "" {
			ref, err := i.build(ctx, step, func(planner.Event) {})
			if err != nil {
				return err
			}
			refs[step] = ref
		}
		d.Images[at] = refs[step]
	}
	return nil
}

// build builds the image of a step, if it is one that is built, and pushes it.
func (i *images) build(ctx context.Context, step string, note func(planner.Event)) (string, error) {
	if i.what.builder != "" && slices.Contains(i.toBuild, step) {
		return i.buildElsewhere(ctx, step, note)
	}
	client, err := i.engine(ctx)
	if err != nil {
		return "", err
	}
	p := i.pushes[step]
	source := p.name
	if slices.Contains(i.toBuild, step) {
		if err := i.all(client).wait(ctx, step, note); err != nil {
			return "", err
		}
	} else if source, err = i.fetch(ctx, client, &p, note); err != nil {
		return "", err
	}
	if source != p.target {
		if _, err := client.TagImage(ctx, &api.TagRequest{Source: source, Target: p.target}); err != nil {
			return "", cli.Cause(ctx, err)
		}
	}
	note(planner.Event{Text: "push " + p.target})
	ref, err := i.push(ctx, client, &api.PushImage{Name: p.target, Service: step, Platform: p.platform}, note)
	if _, digest, _ := strings.Cut(ref, "@"); err == nil && p.isWhole() && digest != p.pin {
		return "", fmt.Errorf("%s was pushed as %s, and the stack says %s: run \"orlop engine restart\" if the engine is of an older version", p.name, digest, p.pin)
	}
	return ref, err
}

// fetch has the engine pull an image, and says by which name it has it. What is here is not pulled, unless --pull always asks for what
// a name means now, or the policy wants to see a signature first. One whose digest is said is fetched with all of its platforms: a part of it has another digest.
func (i *images) fetch(ctx context.Context, client *api.Client, p *pushing, note func(planner.Event)) (string, error) {
	wanted := p.wanted()
	for _, there := range []string{wanted, p.name} {
		if p.isWhole() {
			break
		}
		details, err := client.Image.Describe(ctx, &api.DescribeRequest{Name: there, Platform: p.platform})
		if err == nil && details.GetTrust().GetRefused() == "" && (p.pin == "" && i.what.pull != "always" || p.pin != "" && details.Digest == p.pin) {
			return there, nil
		}
	}
	session, end, err := i.LendLogins(ctx, client)
	if err != nil {
		return "", err
	}
	defer end()
	stream, err := client.Registry.Fetch(ctx, &api.FetchRequest{Names: []string{wanted}, Platform: p.platform, Session: session, Whole: p.isWhole()})
	if err != nil {
		return "", cli.Cause(ctx, err)
	}
	if _, err = cli.Follow(ctx, stream, nil, forward(note)); err != nil && p.isWhole() && ctx.Err() == nil {
		return "", fmt.Errorf("%s has that digest only with all of its platforms, which can't be fetched: %w; with platform: in the service that one alone is copied", wanted, err)
	}
	return wanted, err
}

// push pushes an image and gives its reference by digest.
func (i *images) push(ctx context.Context, client *api.Client, image *api.PushImage, note func(planner.Event)) (string, error) {
	session, end, err := i.LendLogins(ctx, client)
	if err != nil {
		return "", err
	}
	defer end()
	stream, err := client.Registry.Push(ctx, &api.PushRequest{Of: image.Name, Session: session, Images: []*api.PushImage{image}})
	if err != nil {
		return "", cli.Cause(ctx, err)
	}
	verdict := &pushStream{ProgressStream: stream}
	if _, err := cli.Follow(ctx, verdict, nil, forward(note)); err != nil {
		return "", err
	}
	digest := verdict.pushed[image.Name]
	if digest == "" {
		return "", fmt.Errorf("%s was pushed, and the engine does not tell its digest: it is of an older version: run \"orlop engine restart\"", image.Name)
	}
	return repository(image.Name) + "@" + digest, nil
}

// pushStream notes which digests were pushed: that of a tag may be somebody else's by the time it is asked for.
type pushStream struct {
	cli.ProgressStream
	pushed map[string]string
}

// Recv is the next message.
func (s *pushStream) Recv() (*api.Progress, error) {
	m, err := s.ProgressStream.Recv()
	if v := m.GetVerdict(); err == nil && v != nil {
		s.pushed = v.Pushed
	}
	return m, err
}

// forward hands on how far something is, and what it warns of.
func forward(note func(planner.Event)) func(planner.Event) {
	return func(e planner.Event) {
		switch e.Kind {
		case planner.Progressed:
			note(planner.Event{Text: e.Text, Current: e.Current, Total: e.Total, Part: e.Part})
		case planner.Warned:
			note(planner.Event{Kind: e.Kind, Text: e.Text})
		}
	}
}
