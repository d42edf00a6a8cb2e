package admission

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	sigstore "github.com/sigstore/sigstore/pkg/signature"

	"github.com/orlop/orlop/e2e/lab"
	"github.com/orlop/orlop/engine/settings"
	"github.com/orlop/orlop/engine/signature"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/push"
)

// labels are a content store of which the labels are known, and some documents.
type labels struct {
	content.Store
	mu        sync.Mutex
	of        map[digest.Digest]map[string]string
	documents memory
}

func (l *labels) ReaderAt(ctx context.Context, d ocispec.Descriptor) (content.ReaderAt, error) {
	return l.documents.ReaderAt(ctx, d)
}

func (l *labels) Info(_ context.Context, d digest.Digest) (content.Info, error) {
	defer runtime.Gosched() // another one may do the same meanwhile
	l.mu.Lock()
	defer l.mu.Unlock()
	all, ok := l.of[d]
	if !ok {
		return content.Info{}, errdefs.ErrNotFound
	}
	return content.Info{Digest: d, Size: int64(len(l.documents[d])), Labels: maps.Clone(all)}, nil
}

func (l *labels) Update(_ context.Context, info content.Info, paths ...string) (content.Info, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, value := range info.Labels {
		if !slices.Contains(paths, "labels."+key) {
			return info, fmt.Errorf("%s alone was to be changed, not %s", paths, key)
		}
		l.of[info.Digest][key] = value
	}
	return info, nil
}

// scene is an engine's gate, with a registry.
type scene struct {
	*testing.T
	gate  *Gate
	here  *labels
	hosts docker.RegistryHosts
	host  string
	dir   string

	pushed memory // all documents
}

func newScene(t *testing.T) *scene {
	t.Helper()
	r, err := lab.NewRegistry()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	s := &scene{T: t, here: &labels{of: map[digest.Digest]map[string]string{}}, host: r.Address(), dir: t.TempDir(),
		hosts: docker.ConfigureDefaultRegistries(docker.WithPlainHTTP(docker.MatchAllHosts))}
	s.gate = &Gate{Root: s.dir, Now: time.Now, Content: func() content.Store { return s.here }}
	return s
}

// policy writes the settings; HOST and DIR stand for those of the scene.
func (s *scene) policy(text string) {
	s.Helper()
	text = strings.NewReplacer("HOST", s.host, "DIR", s.dir).Replace(text)
	if err := os.WriteFile(settings.Path(s.dir), []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

// key makes a key pair, of which the public one is in a file.
func (s *scene) key(name string) *ecdsa.PrivateKey {
	s.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err == nil {
		err = os.WriteFile(filepath.Join(s.dir, name), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600)
	}
	if err != nil {
		s.Fatal(err)
	}
	return key
}

type memory map[digest.Digest][]byte

type reader struct{ *bytes.Reader }

func (reader) Close() error { return nil }

func (m memory) ReaderAt(_ context.Context, d ocispec.Descriptor) (content.ReaderAt, error) {
	return reader{bytes.NewReader(m[d.Digest])}, nil
}

func (m memory) add(mediaType string, document any) ocispec.Descriptor {
	text, _ := json.Marshal(document)
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}
	m[d.Digest] = text
	return d
}

// push puts an image there, in an index where it is of several platforms.
func (s *scene) push(name, says string, of ...string) (root ocispec.Descriptor, manifests []ocispec.Descriptor) {
	s.Helper()
	parts := memory{}
	defer func() { s.pushed = parts }()
	for _, platform := range append(of, "linux/amd64")[:max(1, len(of))] {
		p := platforms.MustParse(platform)
		m := parts.add(ocispec.MediaTypeImageManifest, ocispec.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
			Config: parts.add(ocispec.MediaTypeImageConfig, map[string]string{"says": says, "architecture": p.Architecture}), Layers: []ocispec.Descriptor{},
		})
		m.Platform = &p
		manifests = append(manifests, m)
	}
	root = manifests[0]
	if len(of) > 0 {
		root = parts.add(ocispec.MediaTypeImageIndex, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests})
	}
	root.Platform = nil
	if _, err := push.Send(s.Context(), push.Job{Ref: name, Root: root, From: parts, Hosts: s.hosts}); err != nil {
		s.Fatal(err)
	}
	return root, manifests
}

func (s *scene) sign(name string, of ocispec.Descriptor, key crypto.Signer) {
	s.Helper()
	s.signBy(name, of, key, s.hosts)
}

func (s *scene) signBy(name string, of ocispec.Descriptor, key crypto.Signer, hosts docker.RegistryHosts) {
	s.Helper()
	r, err := signature.Open(name, hosts)
	if err != nil {
		s.Fatal(err)
	}
	with, err := sigstore.LoadSigner(key, crypto.SHA256)
	if err != nil {
		s.Fatal(err)
	}
	_, err = r.Sign(s.Context(), signature.Signing{Format: signature.Cosign, Of: of, Public: key.Public(), Now: time.Now(),
		Sign: func(message []byte, _ string) ([]byte, error) { return with.SignMessage(bytes.NewReader(message)) }}, hosts)
	if err != nil {
		s.Fatal(err)
	}
}

func (s *scene) fetch(ctx context.Context, name string, root ocispec.Descriptor) error {
	noted, err := s.gate.Fetch(ctx, image.Arrival{Name: name, Root: root, Platform: platforms.Only(platforms.MustParse("linux/amd64")), Hosts: s.hosts})
	if err != nil {
		return err
	}
	return noted(ctx)
}

func (s *scene) refused(err error, want string) {
	s.Helper()
	if _, is := errors.AsType[*Refused](err); !is || !strings.Contains(err.Error(), want) {
		s.Errorf("got %v, want it refused: %s", err, want)
	}
}

// TestTheSignatureIsOfWhatIsFetched: of the index, or of the manifest in it that this platform gets.
//
// Risk supply chain: of an index, another platform's image alone is signed
// Held: it counts for that platform, and for no other
func TestTheSignatureIsOfWhatIsFetched(t *testing.T) {
	s := newScene(t)
	key, stranger := s.key("a.pub"), s.key("b.pub")
	s.policy("trust:\n  HOST/*: {require: signed-by, keys: [DIR/a.pub]}\n")
	name := s.host + "/shop/api:1"
	root, manifests := s.push(name, "one", "linux/arm64", "linux/amd64")
	s.refused(s.fetch(t.Context(), name, root), "it is not signed, or its signatures were not copied along")
	s.sign(name, manifests[0], key)
	s.refused(s.fetch(t.Context(), name, root), "it is not signed")
	s.sign(name, root, stranger)
	s.refused(s.fetch(t.Context(), name, root), "none of its signatures counts (cosign: none of the keys has made it)")
	s.sign(name, manifests[1], key)
	if err := s.fetch(t.Context(), name, root); err != nil {
		t.Error(err)
	}
	s.here.of[root.Digest], s.here.of[manifests[1].Digest] = map[string]string{}, map[string]string{}
	s.here.documents = s.pushed
	s.refused(s.gate.Use(t.Context(), name, root.Digest, manifests[1].Digest), `it is here, but not by a signature that the policy accepts: run "orlop pull"`)
	if err := s.fetch(t.Context(), name, root); err != nil {
		t.Error(err)
	}
	if err := s.gate.Use(t.Context(), name, root.Digest, manifests[1].Digest); err != nil {
		t.Error(err)
	}
	s.refused(s.gate.Use(t.Context(), name, root.Digest, manifests[0].Digest), "it is here, but")
	// Another key is another policy.
	s.policy("trust:\n  HOST/*: {require: signed-by, keys: [DIR/b.pub]}\n")
	s.refused(s.gate.Use(t.Context(), name, root.Digest, manifests[1].Digest), "it is here, but")
	if err := s.fetch(t.Context(), name, root); err != nil {
		t.Error(err)
	}
}

// TestASignatureThatIsThereCounts, also where the registry does not let itself be asked for others; else that is an error.
func TestASignatureThatIsThereCounts(t *testing.T) {
	s := newScene(t)
	key := s.key("a.pub")
	name := s.host + "/shop/api:1"
	root, _ := s.push(name, "one")
	s.sign(name, root, key)
	unsigned, _ := s.push(s.host+"/shop/other:1", "other")
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: s.host})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/referrers/") || strings.Contains(r.URL.Path, "/manifests/sha256-") && !strings.HasSuffix(r.URL.Path, ".sig") {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	defer server.Close()
	s.host = strings.TrimPrefix(server.URL, "http://")
	s.policy("trust:\n  HOST/*: {require: signed-by, keys: [DIR/a.pub]}\n")
	if err := s.fetch(t.Context(), s.host+"/shop/api:1", root); err != nil {
		t.Error(err)
	}
	if err := s.fetch(t.Context(), s.host+"/shop/other:1", unsigned); err == nil || !strings.Contains(err.Error(), "cannot look for the signatures of image "+s.host+"/shop/other:1") {
		t.Errorf("%v", err)
	}
}

// TestWhatIsMadeHere is used without a signature, unless the rule says that it needs one.
func TestWhatIsMadeHere(t *testing.T) {
	s := newScene(t)
	s.key("a.pub")
	own, theirs := digest.FromString("own"), digest.FromString("theirs")
	s.here.of = map[digest.Digest]map[string]string{own: {image.LabelMade: "true"}, theirs: {}}
	for rule, c := range map[string]struct{ own, theirs string }{
		"nothing":                      {"", ""},
		"refuse":                       {"", "the policy takes none from there"},
		"refuse, local: true":          {"the policy takes none from there", "the policy takes none from there"},
		"pinned":                       {"", "it is not pinned"},
		"pinned, local: true":          {"it is not pinned", "it is not pinned"},
		"signed-by, keys: [DIR/a.pub]": {"", "it is here, but"},
		"signed-by, keys: [DIR/a.pub], local: on": {"it was made or loaded here", "it is here, but"},
	} {
		s.policy("trust: {\"*\": {require: " + rule + "}}\n")
		for d, want := range map[digest.Digest]string{own: c.own, theirs: c.theirs} {
			err := s.gate.Use(t.Context(), "docker.io/library/shop:1", d)
			if want != "" {
				s.refused(err, want)
			} else if err != nil {
				t.Errorf("%s: %v", rule, err)
			}
		}
	}
}

// TestPinned: by a digest in the name, or by the lock of the stack.
func TestPinned(t *testing.T) {
	s := newScene(t)
	s.policy("trust:\n  \"*\": {require: pinned}\n")
	d := digest.FromString("one")
	root := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d}
	name := "docker.io/library/redis:7"
	s.here.of[d] = map[string]string{}
	if err := s.fetch(t.Context(), "docker.io/library/redis@"+d.String(), root); err != nil {
		t.Error(err)
	}
	s.refused(s.fetch(t.Context(), "docker.io/library/redis@"+digest.FromString("two").String(), root), "it is named by another digest")
	s.refused(s.fetch(t.Context(), name, root), `it is not pinned: name it by its digest, or run "orlop lock"`)
	with := func(is string) context.Context {
		ctx, end := s.gate.Locked(t.Context(), nil, map[string]string{"redis:7": is})
		end()
		return ctx
	}
	s.refused(s.fetch(with(digest.FromString("two").String()), name, root), "orlop.lock has "+short(digest.FromString("two"))+" for it")
	s.refused(s.gate.Use(t.Context(), name, d), "it is not pinned")
	if err := s.fetch(with(d.String()), name, root); err != nil {
		t.Error(err)
	}
	// Who makes a container later, without the stack at hand, goes by that.
	if err := s.gate.Use(t.Context(), name, d); err != nil {
		t.Error(err)
	}
	s.refused(s.gate.Use(with(digest.FromString("two").String()), name, d), "orlop.lock has ")
	s.refused(s.gate.Use(t.Context(), "docker.io/library/other:7", d), "it is not pinned")
}

// TestABuildHasTheLockOfItsStack, until it is over.
func TestABuildHasTheLockOfItsStack(t *testing.T) {
	s := newScene(t)
	s.policy("trust:\n  HOST/*: {require: pinned}\n")
	name := s.host + "/shop/api:1"
	root, _ := s.push(name, "one")
	ask := s.gate.Bases("orlop", func(context.Context, string) docker.RegistryHosts { return s.hosts })
	_, end := s.gate.Locked(t.Context(), map[string]string{"": "s1", "api": "s2"}, map[string]string{name: root.Digest.String()})
	if err := ask(t.Context(), []string{"s0", "s2"}, name, root.Digest, nil); err != nil {
		t.Error(err)
	}
	s.refused(ask(t.Context(), []string{"s3"}, name, root.Digest, nil), "it is not pinned")
	end()
	s.refused(ask(t.Context(), []string{"s2"}, name, root.Digest, nil), "it is not pinned")
}

// TestWhatCannotBeAskedAdmitsNothing: see the risk.
//
// Risk supply chain: the policy has a mistake, its key is gone, the registry of the signatures is away
// Held: no image is admitted, and the error says which
func TestWhatCannotBeAskedAdmitsNothing(t *testing.T) {
	s := newScene(t)
	d := digest.FromString("one")
	s.here.of[d] = map[string]string{}
	root := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d}
	for text, want := range map[string]string{
		"trust: {redis: {requir: nothing}}\n": `is refused, as the policy can't be read: ` + settings.Path(s.dir) + `:1:17: trust.redis: unknown key "requir"`,
		"trust: {\n":                          "is refused, as the policy can't be read: ",
		"trust: {\"*\": {require: signed-by, keys: [DIR/absent.pub]}}\n":     "is refused: " + settings.Path(s.dir) + ":1:14: cannot read a key: ",
		"trust: {\"*\": {require: signed-by, certificates: [DIR/none.crt]}}": "is refused: " + settings.Path(s.dir) + ":1:14: cannot read a certificate: ",
	} {
		s.policy(text)
		for what, err := range map[string]error{"fetch": s.fetch(t.Context(), "docker.io/library/redis:7", root), "use": s.gate.Use(t.Context(), "docker.io/library/redis:7", d)} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s, %s: %v", text, what, err)
			}
		}
	}
	// What is wrong elsewhere is told where it matters.
	s.policy("polisy: {}\nsecurity: hard\ntrust: {other: {require: refuse}}\n")
	if err := s.fetch(t.Context(), "docker.io/library/redis:7", root); err != nil {
		t.Error(err)
	}
	s.refused(s.fetch(t.Context(), "docker.io/library/other:7", root), "the policy takes none from there")
	s.key("a.pub")
	s.policy("trust: {\"*\": {require: signed-by, keys: [DIR/a.pub]}}\n")
	if err := s.fetch(t.Context(), "127.0.0.1:1/shop:1", root); err == nil || !strings.Contains(err.Error(), "cannot look for the signatures of image 127.0.0.1:1/shop:1, without which it is refused (trust.\"*\"") {
		t.Errorf("%v", err)
	}
}

// TestWhatWasFoundIsNotLookedForAgain, also where the signature is of the manifest in an index.
func TestWhatWasFoundIsNotLookedForAgain(t *testing.T) {
	s := newScene(t)
	key := s.key("a.pub")
	s.policy("trust:\n  HOST/*: {require: signed-by, keys: [DIR/a.pub]}\n")
	name := s.host + "/shop/api:1"
	root, manifests := s.push(name, "one", "linux/arm64", "linux/amd64")
	s.here.documents = s.pushed
	s.sign(name, manifests[1], key)
	s.here.of[root.Digest], s.here.of[manifests[1].Digest] = map[string]string{}, map[string]string{}
	if err := s.fetch(t.Context(), name, root); err != nil {
		t.Fatal(err)
	}
	s.hosts = func(string) ([]docker.RegistryHost, error) { return nil, errors.New("the registry is asked") }
	if err := s.fetch(t.Context(), name, root); err != nil {
		t.Error(err)
	}
}

// TestAllThatIsNotedStays, also where two note at once.
func TestAllThatIsNotedStays(t *testing.T) {
	s := newScene(t)
	for i := range 100 {
		d := digest.FromString(fmt.Sprint(i))
		s.here.of[d] = map[string]string{}
		var all sync.WaitGroup
		for _, one := range []string{"a", "b", "c"} {
			all.Go(func() {
				if err := s.gate.note(t.Context(), d, labelPinned, one); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if noted := strings.Fields(s.here.of[d][labelPinned]); len(noted) != 3 {
			t.Fatalf("%q is noted", noted)
		}
	}
}

// TestWhatIsSignedIsWhatTheRegistryHas, not what a mirror says of it.
//
// Risk supply chain: a mirror gives another image for the name that is to be signed
// Held: what is signed is what the registry has to which the signature goes
func TestWhatIsSignedIsWhatTheRegistryHas(t *testing.T) {
	s, mirror := newScene(t), newScene(t)
	mine, _ := s.push(s.host+"/shop/api:1", "mine")
	mirror.push(mirror.host+"/shop/api:1", "theirs")
	server := &Server{Gate: s.gate}
	hosts := func(host string) ([]docker.RegistryHost, error) {
		at := func(address string, can docker.HostCapabilities) docker.RegistryHost {
			return docker.RegistryHost{Client: http.DefaultClient, Host: address, Scheme: "http", Path: "/v2", Capabilities: can}
		}
		return []docker.RegistryHost{at(mirror.host, docker.HostCapabilityPull|docker.HostCapabilityResolve), at(s.host, docker.HostCapabilityPull|docker.HostCapabilityResolve|docker.HostCapabilityPush)}, nil
	}
	f, err := server.find(t.Context(), s.host+"/shop/api:1", "", signature.Target(hosts))
	if err != nil || f.Root.Digest != mine.Digest {
		t.Errorf("%+v, %v", f, err)
	}
	alone := func(host string) ([]docker.RegistryHost, error) {
		all, err := hosts(host)
		return all[:1], err
	}
	if _, err := server.find(t.Context(), s.host+"/shop/api:1", "", signature.Target(alone)); err == nil || !strings.Contains(err.Error(), "its settings name mirrors alone") {
		t.Errorf("%v", err)
	}
}

// meanwhile does something once, before a request of a kind is sent.
type meanwhile struct {
	isIt func(*http.Request) bool
	do   func()
	once sync.Once
}

func (m *meanwhile) RoundTrip(r *http.Request) (*http.Response, error) {
	if m.isIt(r) {
		m.once.Do(m.do)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// TestNoSignatureIsLostWhereOthersSignMeanwhile: who puts its own looks again at what is there.
func TestNoSignatureIsLostWhereOthersSignMeanwhile(t *testing.T) {
	for what, isIt := range map[string]func(*http.Request) bool{
		"before all is there": func(r *http.Request) bool { return r.Method == http.MethodPost },
		"before it is tagged": func(r *http.Request) bool {
			return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/sha256:")
		},
	} {
		s := newScene(t)
		name := s.host + "/shop/api:1"
		root, _ := s.push(name, "api")
		mine, theirs := s.key("mine"), s.key("theirs")
		s.policy("trust:\n  HOST/shop/*: {require: signed-by, keys: [DIR/mine]}\n")
		slow := &meanwhile{isIt: isIt, do: func() { s.sign(name, root, theirs) }}
		s.signBy(name, root, mine, docker.ConfigureDefaultRegistries(docker.WithPlainHTTP(docker.MatchAllHosts), docker.WithClient(&http.Client{Transport: slow})))
		for _, key := range []string{"mine", "theirs"} {
			s.policy("trust:\n  HOST/shop/*: {require: signed-by, keys: [DIR/" + key + "]}\n")
			if err := s.fetch(t.Context(), name, root); err != nil {
				t.Errorf("%s: that of %s: %v", what, key, err)
			}
		}
	}
}

// TestUseIsTold: of images that containers are made of and that builds begin with, not of those that are looked at.
func TestUseIsTold(t *testing.T) {
	s := newScene(t)
	var used []string
	s.gate.Used = func(name string) { used = append(used, name) }
	s.policy("trust:\n  HOST/refused/*: {require: refuse}\n")
	ask := s.gate.Bases("orlop", func(context.Context, string) docker.RegistryHosts { return s.hosts })
	d := digest.FromString("one")
	if err := errors.Join(s.gate.Use(t.Context(), "docker.io/library/redis:7", d), s.gate.Use(t.Context(), "", d), ask(t.Context(), nil, "golang", d, nil)); err != nil {
		t.Error(err)
	}
	s.gate.Trust(t.Context(), "docker.io/library/looked:at", d)
	s.refused(s.gate.Use(t.Context(), s.host+"/refused/a:1", d), "the policy takes none")
	s.refused(ask(t.Context(), nil, s.host+"/refused/a:1", d, nil), "the policy takes none")
	if !slices.Equal(used, []string{"docker.io/library/redis:7", "docker.io/library/golang:latest"}) {
		t.Errorf("%q are used", used)
	}
}
