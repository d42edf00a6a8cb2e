// Package admission holds images to the policy of the engine's settings: those that come from registries before a layer
// is fetched, and those that are here before a container is made of them. What it has found is noted with the image, so
// that one which was admitted starts without a registry.
package admission

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/orlop/orlop/engine/settings"
	"github.com/orlop/orlop/engine/signature"
	"github.com/orlop/orlop/engine/trust"
	"github.com/orlop/orlop/runner/image"
)

// Labels of a manifest or an index in containerd's content.
const (
	labelSigned = "io.orlop.signed-by" // IDs of the keys and certificates by which it was found signed
	labelPinned = "io.orlop.pinned"    // the full names that orlop.lock had for it
)

// Gate is the policy, as the settings have it at the time of each call. It keeps what a lock says of builds that go on.
type Gate struct {
	Root    string // of the engine
	Content func() content.Store
	Now     func() time.Time
	Used    func(name string) // is told of images that containers are made of, and of those that builds begin with

	noting   sync.Mutex // one label is read and written at a time
	mu       sync.Mutex
	sessions map[string]locked // guarded by mu: the locks of builds that go on
}

// locked are the digests that an orlop.lock has, by the full names of images.
type locked map[string]string

type lockedKey struct{}

// Locked gives what is done by a context, and what the builds of some sessions do until end is called, the lock of their
// stack: digests by the names of images.
func (g *Gate) Locked(ctx context.Context, sessions, digests map[string]string) (_ context.Context, end func()) {
	l := locked{}
	for ref, sum := range digests {
		if name, err := image.Normalize(ref); err == nil {
			l[name] = sum
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sessions == nil {
		g.sessions = map[string]locked{}
	}
	ids := slices.Collect(maps.Values(sessions))
	for _, id := range ids {
		g.sessions[id] = l
	}
	return context.WithValue(ctx, lockedKey{}, l), func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, id := range ids {
			delete(g.sessions, id)
		}
	}
}

// Refused is the error of an image that the policy does not admit.
type Refused struct {
	Name   string
	Digest digest.Digest
	Why    string
	Rule   trust.Rule
}

// Error says what the policy wants, and where it says so.
func (e *Refused) Error() string {
	return fmt.Sprintf("image %s (%s) is refused: %s (trust.%q, %s)", e.Name, short(e.Digest), e.Why, e.Rule.Pattern, e.Rule.Place)
}

func short(d digest.Digest) string {
	text := d.Encoded()
	return text[:min(12, len(text))]
}

// Rule is what the policy says of an image by its full name. A policy that can't be read admits nothing.
func (g *Gate) Rule(name string) (trust.Rule, error) {
	policy, err := settings.Trust(g.Root)
	if err != nil {
		return trust.Rule{Require: trust.Refuse}, fmt.Errorf("image %s is refused, as the policy can't be read: %w", name, err)
	}
	return policy.Of(name)
}

// Fetch implements image.Gate.
func (g *Gate) Fetch(ctx context.Context, a image.Arrival) (noted func(context.Context) error, err error) {
	rule, err := g.Rule(a.Name)
	if err != nil {
		return nil, err
	}
	if rule.Require == trust.Nothing {
		return nothing, nil
	}
	isOwn, isFound, err := g.known(ctx, rule, a.Name, a.Root.Digest)
	if err != nil || isOwn {
		return nothing, err
	}
	switch rule.Require {
	case trust.Pinned: // by the lock of now, whatever another one had
		if isPinned, why := pinned(ctx, a.Name, a.Root.Digest); !isPinned {
			return nil, &Refused{a.Name, a.Root.Digest, why, rule}
		}
		return func(ctx context.Context) error { return g.note(ctx, a.Root.Digest, labelPinned, a.Name) }, nil
	case trust.SignedBy:
		if !isFound {
			isFound, err = g.isManifestKnown(ctx, rule, a)
		}
		if err != nil || isFound {
			return nothing, err
		}
		return g.signed(ctx, rule, a)
	}
	return nil, &Refused{a.Name, a.Root.Digest, "the policy takes none from there", rule}
}

func nothing(context.Context) error { return nil }

// signed looks for signatures of what a name points to and, where that is an index, of the manifest in it that is used.
func (g *Gate) signed(ctx context.Context, rule trust.Rule, a image.Arrival) (noted func(context.Context) error, err error) {
	trusted, err := rule.Trusted()
	if err != nil {
		return nil, fmt.Errorf("image %s is refused: %w", a.Name, err)
	}
	repo, err := signature.Open(a.Name, a.Hosts)
	if err != nil {
		return nil, err
	}
	var all []signature.Signature
	for _, of := range candidates(ctx, repo, a) {
		found, err := repo.Verify(ctx, of, trusted, g.Now())
		if err != nil {
			return nil, &trouble{fmt.Sprintf("cannot look for the signatures of image %s, without which it is refused (trust.%q, %s): %v", a.Name, rule.Pattern, rule.Place, image.RegistryError("", a.Name, err)), err}
		}
		if len(found) > 0 && found[0].By != nil {
			return func(ctx context.Context) error { return g.note(ctx, of, labelSigned, found[0].By.ID) }, nil
		}
		all = append(all, found...)
	}
	return nil, &Refused{a.Name, a.Root.Digest, unsigned(all), rule}
}

// isManifestKnown says that, of an index that is here, the manifest that is used was found to be signed.
func (g *Gate) isManifestKnown(ctx context.Context, rule trust.Rule, a image.Arrival) (bool, error) {
	if !images.IsIndexType(a.Root.MediaType) {
		return false, nil
	}
	store := g.Content()
	info, err := store.Info(ctx, a.Root.Digest)
	if errdefs.IsNotFound(err) || err == nil && info.Size > docker.MaxManifestSize {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot tell what is known of image %s: %w", a.Name, err)
	}
	text, err := content.ReadBlob(ctx, store, ocispec.Descriptor{Digest: a.Root.Digest, Size: info.Size})
	if err != nil {
		return false, fmt.Errorf("cannot tell what is known of image %s: %w", a.Name, err)
	}
	manifest, ok := image.ManifestIn(text, a.Platform)
	if !ok {
		return false, nil
	}
	_, isFound, err := g.known(ctx, rule, a.Name, manifest)
	return isFound, err
}

// trouble is the error of a registry that can't be asked, in our words.
type trouble struct {
	text  string
	cause error
}

func (t *trouble) Error() string { return t.text }
func (t *trouble) Unwrap() error { return t.cause }

// candidates are the documents of which a signature is one of the image.
func candidates(ctx context.Context, repo *signature.Repository, a image.Arrival) []digest.Digest {
	all := []digest.Digest{a.Root.Digest}
	if !images.IsIndexType(a.Root.MediaType) {
		return all
	}
	text, err := repo.Read(ctx, a.Root)
	if err != nil {
		return all
	}
	if d, ok := image.ManifestIn(text, a.Platform); ok {
		all = append(all, d)
	}
	return all
}

// unsigned says what is lacking where none of the signatures counts.
func unsigned(all []signature.Signature) string {
	if len(all) == 0 {
		return `it is not signed, or its signatures were not copied along: sign it with "orlop image sign"`
	}
	var why []string
	for _, s := range all {
		if text := fmt.Sprintf("%s: %v", s.Format, s.Why); !slices.Contains(why, text) {
			why = append(why, text)
		}
	}
	return fmt.Sprintf("none of its signatures counts (%s): see \"orlop image verify\"", strings.Join(why, "; "))
}

// pinned says whether an image is named by its digest, or has the one that the lock of its stack says; else why not.
func pinned(ctx context.Context, name string, is digest.Digest) (bool, string) {
	if _, sum, has := strings.Cut(name, "@"); has {
		return sum == is.String(), "it is named by another digest"
	}
	l, _ := ctx.Value(lockedKey{}).(locked)
	switch want := l[name]; want {
	case is.String():
		return true, ""
	case "":
		return false, `it is not pinned: name it by its digest, or run "orlop lock"`
	default:
		return false, fmt.Sprintf("orlop.lock has %s for it: look at what has changed, then run \"orlop lock\"", short(digest.Digest(want)))
	}
}

// Use implements image.Gate.
func (g *Gate) Use(ctx context.Context, name string, digests ...digest.Digest) error {
	if err := g.mayUse(ctx, name, digests...); err != nil {
		return err
	}
	g.used(name)
	return nil
}

func (g *Gate) used(name string) {
	if g.Used != nil && name != "" {
		g.Used(name)
	}
}

// mayUse is an error where the policy does not admit an image that is here.
func (g *Gate) mayUse(ctx context.Context, name string, digests ...digest.Digest) error {
	rule, err := g.Rule(name)
	if err != nil {
		return err
	}
	if rule.Require == trust.Nothing {
		return nil
	}
	isMade := false
	for _, d := range digests {
		if isOwn, isFound, err := g.known(ctx, rule, name, d); err != nil || isOwn || isFound {
			return err
		}
		info, err := g.Content().Info(ctx, d)
		isMade = isMade || err == nil && info.Labels[image.LabelMade] != ""
	}
	why := "the policy takes none from there"
	switch rule.Require {
	case trust.SignedBy:
		why = `it is here, but not by a signature that the policy accepts: run "orlop pull" or "orlop image pull", which looks for one`
		if isMade {
			why = `it was made or loaded here, and the rule asks for a signature of such images too (local: true): push it, sign it with "orlop image sign", then run "orlop image pull"`
		}
	case trust.Pinned:
		var isPinned bool
		if isPinned, why = pinned(ctx, name, digests[0]); isPinned {
			return g.note(ctx, digests[0], labelPinned, name)
		}
	}
	return &Refused{name, digests[0], why, rule}
}

// known is what is known of an image that is here: that it was made or loaded here and the rule leaves such alone, and
// that it was found to be as the rule wants.
func (g *Gate) known(ctx context.Context, rule trust.Rule, name string, d digest.Digest) (isOwn, isFound bool, err error) {
	info, err := g.Content().Info(ctx, d)
	if errdefs.IsNotFound(err) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("cannot tell where image %s comes from: %w", name, err)
	}
	isOwn = info.Labels[image.LabelMade] != "" && !rule.Local
	switch rule.Require {
	case trust.SignedBy:
		trusted, err := rule.Trusted()
		if err != nil {
			return false, false, fmt.Errorf("image %s is refused: %w", name, err)
		}
		isFound = slices.ContainsFunc(trusted.IDs(), func(id string) bool { return has(info, labelSigned, id) })
	case trust.Pinned: // where the lock of the stack is known, it is that which counts
		_, isLocked := ctx.Value(lockedKey{}).(locked)
		isFound = !isLocked && has(info, labelPinned, name)
	}
	return isOwn, isFound, nil
}

func has(info content.Info, label, one string) bool {
	return slices.Contains(strings.Fields(info.Labels[label]), one)
}

// mostNoted is how many IDs or names a label has: containerd takes 4,096 bytes.
const mostNoted = 8

// note adds to a label of a document that is here.
func (g *Gate) note(ctx context.Context, d digest.Digest, label, one string) error {
	g.noting.Lock()
	defer g.noting.Unlock()
	store := g.Content()
	info, err := store.Info(ctx, d)
	if errdefs.IsNotFound(err) {
		return nil // it is looked for again
	}
	if err != nil {
		return fmt.Errorf("cannot note what was found of image %s: %w", d, err)
	}
	if has(info, label, one) {
		return nil
	}
	all := append(strings.Fields(info.Labels[label]), one)
	for len(all) > mostNoted || len(strings.Join(all, " ")) > 3<<10 && len(all) > 1 {
		all = all[1:]
	}
	_, err = store.Update(ctx, content.Info{Digest: d, Labels: map[string]string{label: strings.Join(all, " ")}}, "labels."+label)
	if err != nil {
		return fmt.Errorf("cannot note what was found of image %s: %w", d, err)
	}
	return nil
}

// Bases holds what builds take from registries to the policy; it has the form of buildkit.Admit, which is asked without
// a namespace of containerd.
func (g *Gate) Bases(namespace string, hosts func(ctx context.Context, session string) docker.RegistryHosts) func(ctx context.Context, sessions []string, name string, root digest.Digest, platform *ocispec.Platform) error {
	return func(ctx context.Context, sessions []string, name string, root digest.Digest, platform *ocispec.Platform) error {
		ctx = namespaces.WithNamespace(ctx, namespace)
		full, err := image.Normalize(name)
		if err != nil {
			return err
		}
		a := image.Arrival{Name: full, Platform: platforms.Default()}
		if platform != nil {
			a.Platform = platforms.Only(*platform)
		}
		if a.Root, err = describe(ctx, g.Content(), root); err != nil {
			return err
		}
		session := ""
		for _, id := range sessions {
			session = id
			g.mu.Lock()
			if l := g.sessions[id]; l != nil {
				ctx = context.WithValue(ctx, lockedKey{}, l)
			}
			g.mu.Unlock()
		}
		a.Hosts = hosts(ctx, session)
		noted, err := g.Fetch(ctx, a)
		if err != nil {
			return err
		}
		g.used(full)
		return noted(ctx)
	}
}

// describe describes a document that BuildKit has fetched.
func describe(ctx context.Context, store content.Store, d digest.Digest) (ocispec.Descriptor, error) {
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d}
	info, err := store.Info(ctx, d)
	if errdefs.IsNotFound(err) {
		return desc, nil
	}
	if err != nil {
		return desc, err
	}
	desc.Size = info.Size
	if info.Size > docker.MaxManifestSize { // a layer, or what nobody takes for an index
		return desc, nil
	}
	text, err := content.ReadBlob(ctx, store, desc)
	if err != nil {
		return desc, err
	}
	var doc struct {
		Manifests []json.RawMessage `json:"manifests"`
	}
	if json.Unmarshal(text, &doc) == nil && len(doc.Manifests) > 0 {
		desc.MediaType = ocispec.MediaTypeImageIndex
	}
	return desc, nil
}
