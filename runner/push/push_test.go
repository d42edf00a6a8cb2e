package push

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/orlop/orlop/e2e/lab"
	"github.com/orlop/orlop/runner/retry"
)

const large = 3 << 20

// labelled are those of a content store.
type labelled struct {
	mu  sync.Mutex
	all map[digest.Digest]map[string]string
}

func (l *labelled) Get(d digest.Digest) (map[string]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[d], nil
}

func (l *labelled) Set(d digest.Digest, to map[string]string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[d] = to
	return nil
}

func (l *labelled) Update(d digest.Digest, with map[string]string) (map[string]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := map[string]string{}
	for _, from := range []map[string]string{l.all[d], with} {
		for k, v := range from {
			now[k] = v
		}
	}
	l.all[d] = now
	return now, nil
}

func newStore(t *testing.T) content.Store {
	t.Helper()
	s, err := local.NewLabeledStore(t.TempDir(), &labelled{all: map[digest.Digest]map[string]string{}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s content.Store, mediaType string, text []byte) ocispec.Descriptor {
	t.Helper()
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}
	if err := content.WriteBlob(t.Context(), s, d.Digest.String(), bytes.NewReader(text), d); err != nil {
		t.Fatal(err)
	}
	return d
}

func random(size int) []byte {
	b := make([]byte, size)
	rand.Read(b)
	return b
}

func putJSON(t *testing.T, s content.Store, mediaType string, doc any) ocispec.Descriptor {
	t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return put(t, s, mediaType, text)
}

// image is one of some layers, with a configuration of its own.
func image(t *testing.T, s content.Store, layers ...ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	return putJSON(t, s, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: put(t, s, ocispec.MediaTypeImageConfig, []byte(`{"author":"`+digest.FromBytes(random(8)).Encoded()+`"}`)), Layers: layers,
	})
}

func newRegistry(t *testing.T) *lab.Registry {
	t.Helper()
	r, err := lab.NewRegistry()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// hosts reach registries without TLS, with a login.
func hosts(user, secret string) docker.RegistryHosts {
	return docker.ConfigureDefaultRegistries(docker.WithPlainHTTP(docker.MatchAllHosts), docker.WithAuthorizer(docker.NewDockerAuthorizer(
		docker.WithAuthCreds(func(string) (string, string, error) { return user, secret, nil }))))
}

// waited is a pace that notes what it would have waited.
type waited struct {
	mu  sync.Mutex
	all []time.Duration
}

func (w *waited) pace() pace {
	return pace{now: time.Now, random: func() float64 { return 0 }, sleep: func(ctx context.Context, d time.Duration) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.all = append(w.all, d)
		return ctx.Err()
	}}
}

// send pushes without waiting.
func send(t *testing.T, r *lab.Registry, s content.Store, name string, root ocispec.Descriptor) (*waited, Sent, error) {
	t.Helper()
	w := &waited{}
	var mu sync.Mutex
	var have, total int64
	job := Job{Ref: r.Address() + "/" + name, Root: root, From: s, Hosts: hosts("", ""), Progress: func(current, all int64, _ string) {
		mu.Lock()
		defer mu.Unlock()
		have, total = current, all
	}}
	sent, err := sendAt(t.Context(), job, w.pace())
	if err == nil && have != total {
		t.Errorf("%s: %d of %d bytes are there at the end", name, have, total)
	}
	return w, sent, err
}

func mustHave(t *testing.T, r *lab.Registry, name string, root ocispec.Descriptor) {
	t.Helper()
	resolver := docker.NewResolver(docker.ResolverOptions{Hosts: hosts(lab.RegistryUser, lab.RegistrySecret)})
	_, d, err := resolver.Resolve(t.Context(), r.Address()+"/"+name)
	if err != nil || d.Digest != root.Digest {
		t.Errorf("%s is %v, want %s: %v", name, d.Digest, root.Digest, err)
	}
}

// TestOnlyWhatTheRegistryLacksIsSent: a layer that it has is asked for and no more, one of another
// repository is taken from there, and an image that is there costs one request.
func TestOnlyWhatTheRegistryLacksIsSent(t *testing.T) {
	r, s := newRegistry(t), newStore(t)
	base, first := put(t, s, ocispec.MediaTypeImageLayer, random(large)), put(t, s, ocispec.MediaTypeImageLayer, random(1000))
	one := image(t, s, base, first)
	_, sent, err := send(t, r, s, "one/app:1", one)
	if err != nil || sent.Blobs != 3 || sent.IsThere {
		t.Fatalf("sent is %+v: %v", sent, err)
	}
	mustHave(t, r, "one/app:1", one)
	before := map[string]int{}
	methods := []string{"HEAD", "POST", "PATCH", "PUT", "GET"}
	did := func(kind string) (n [5]int) {
		for i, m := range methods {
			n[i] = r.Did(m, kind) - before[m+kind]
			before[m+kind] = r.Did(m, kind)
		}
		return n
	}
	did("one")
	bytesBefore := r.Taken("one")
	if _, sent, err = send(t, r, s, "one/app:1", one); err != nil || !sent.IsThere || did("one") != [5]int{1} {
		t.Errorf("again: %+v: %v", sent, err)
	}

	changed := image(t, s, base, put(t, s, ocispec.MediaTypeImageLayer, random(1000)))
	if _, sent, err = send(t, r, s, "one/app:2", changed); err != nil || sent.Blobs != 2 {
		t.Errorf("of a changed layer: %+v: %v", sent, err)
	}
	if n := did("one"); n != [5]int{4, 2, 0, 3, 0} {
		t.Errorf("requests of %v: %v", methods, n)
	}
	if n := r.Taken("one") - bytesBefore; n > 3000 {
		t.Errorf("%d bytes were sent for a layer of 1000", n)
	}

	if _, sent, err = send(t, r, s, "two/app:1", one); err != nil || sent.Mounted != 3 || sent.Blobs != 0 {
		t.Errorf("to another repository: %+v: %v", sent, err)
	}
	if n := did("two"); n != [5]int{4, 3, 0, 1, 0} || r.Taken("two") > 2000 {
		t.Errorf("requests of %v: %v, %d bytes", methods, n, r.Taken("two"))
	}
	mustHave(t, r, "two/app:1", one)
}

// TestRegistriesOfOneHost are not taken for each other: what the one has is not asked of the other.
func TestRegistriesOfOneHost(t *testing.T) {
	a, b, s := newRegistry(t), newRegistry(t), newStore(t)
	root := image(t, s, put(t, s, ocispec.MediaTypeImageLayer, random(large)))
	for _, to := range []struct {
		registry *lab.Registry
		name     string
		mounted  int
	}{{a, "near/app:1", 0}, {b, "far/app:1", 0}, {b, "near/other:1", 2}, {a, "far/app:1", 2}} {
		if _, sent, err := send(t, to.registry, s, to.name, root); err != nil || sent.Mounted != to.mounted {
			t.Errorf("%s: %+v, %v", to.name, sent, err)
		}
	}
}

// TestPushesBesideEachOther send what they have in common once.
func TestPushesBesideEachOther(t *testing.T) {
	r, s := newRegistry(t), newStore(t)
	base := put(t, s, ocispec.MediaTypeImageLayer, random(large))
	var beside Uploads
	var all sync.WaitGroup
	for _, name := range []string{"same/a:1", "same/a:2", "same/b:1", "same/c:1"} {
		root := image(t, s, base)
		all.Go(func() {
			if _, err := Send(t.Context(), Job{Ref: r.Address() + "/" + name, Root: root, From: s, Hosts: hosts("", ""), Beside: &beside}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	all.Wait()
	if n := r.Taken("same"); n > large+large/10 {
		t.Errorf("%d bytes were sent for a layer of %d", n, large)
	}
}

// TestAnIndexGoesWithAllOfIt: manifests of platforms, and those of what is said of them.
func TestAnIndexGoesWithAllOfIt(t *testing.T) {
	r, s := newRegistry(t), newStore(t)
	arm, said := image(t, s, put(t, s, ocispec.MediaTypeImageLayer, random(10))), image(t, s, put(t, s, "application/vnd.in-toto+json", []byte("{}")))
	index := putJSON(t, s, ocispec.MediaTypeImageIndex, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{arm, said}})
	if _, sent, err := send(t, r, s, "multi/app:1", index); err != nil || sent.Blobs != 4 {
		t.Fatalf("%+v, %v", sent, err)
	}
	mustHave(t, r, "multi/app:1", index)
	mustHave(t, r, "multi/app@"+arm.Digest.String(), arm)
	mustHave(t, r, "multi/app@"+said.Digest.String(), said)

	gone := putJSON(t, s, ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("x"), Size: 1}}})
	if _, _, err := send(t, r, s, "multi/app:2", gone); err == nil || !strings.Contains(err.Error(), "is not here: pull or build it again") {
		t.Errorf("%v", err)
	}
}

// TestAnUploadIsGoneOnWith where the registry has kept what came before the cut, and begun anew where
// it has not.
//
// Fault 21: a registry cuts an upload
// Seen: nothing but the time
// Kept: what the registry has is not sent again
func TestAnUploadIsGoneOnWith(t *testing.T) {
	for kind, most := range map[string]int{"cutput": large + large/10, "forgetful": 2 * large} {
		r, s := newRegistry(t), newStore(t)
		root := image(t, s, put(t, s, ocispec.MediaTypeImageLayer, random(large)), put(t, s, ocispec.MediaTypeImageLayer, random(5000)))
		if _, _, err := send(t, r, s, kind+"/app:1", root); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		mustHave(t, r, kind+"/app:1", root)
		if n := r.Taken(kind); n > most {
			t.Errorf("%s: %d bytes were sent of %d", kind, n, large)
		}
	}
}

// TestARegistryThatIsBusy is asked again when it says, and given up where that is too late.
func TestARegistryThatIsBusy(t *testing.T) {
	r, s := newRegistry(t), newStore(t)
	root := image(t, s, put(t, s, ocispec.MediaTypeImageLayer, random(10)))
	w, _, err := send(t, r, s, "busy/app:1", root)
	if err != nil || len(w.all) == 0 || w.all[0] != time.Second {
		t.Errorf("it waited for %v: %v", w.all, err)
	}
	w, _, err = send(t, r, s, "broken/app:1", root)
	if err == nil || len(w.all) != retry.Attempts-1 || sum(w.all) != 15*retry.First || !strings.Contains(err.Error(), "503 Service Unavailable") {
		t.Errorf("it waited for %v: %v", w.all, err)
	}
	late := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer late.Close()
	_, err = sendAt(t.Context(), Job{Ref: strings.TrimPrefix(late.URL, "http://") + "/a:1", Root: root, From: s, Hosts: hosts("", "")}, (&waited{}).pace())
	if err == nil || !strings.Contains(err.Error(), "is asked too often, and asks to wait for 1h0m0s") {
		t.Errorf("%v", err)
	}
}

func sum(all []time.Duration) (d time.Duration) {
	for _, one := range all {
		d += one
	}
	return d
}

// TestRefusals say what to do.
func TestRefusals(t *testing.T) {
	r, s := newRegistry(t), newStore(t)
	root := image(t, s, put(t, s, ocispec.MediaTypeImageLayer, random(10)))
	host := r.Address()
	for kind, want := range map[string]string{
		"private":   `cannot push ` + host + `/private/new:1: ` + host + ` wants a login: run "orlop login ` + host + `"`,
		"denied":    `denies it (DENIED): log in with "orlop login ` + host + `" as a user who may push to denied/new`,
		"uncreated": host + ` has no repository uncreated/new: create it there first, or check the name`,
	} {
		if _, _, err := send(t, r, s, kind+"/new:1", root); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", kind, err, want)
		}
	}
	sent, err := Send(t.Context(), Job{Ref: host + "/private/new:1", Root: root, From: s, Hosts: hosts(lab.RegistryUser, lab.RegistrySecret)})
	if err != nil || sent.Blobs != 2 {
		t.Errorf("with a login: %+v, %v", sent, err)
	}
	gone := newRegistry(t)
	gone.Close()
	if _, _, err := send(t, gone, s, "a:1", root); err == nil || !strings.Contains(err.Error(), "can't be reached (connection refused)") {
		t.Errorf("%v", err)
	}
	withTLS := docker.ConfigureDefaultRegistries(docker.WithPlainHTTP(docker.MatchAllHosts))
	asTLS := func(host string) ([]docker.RegistryHost, error) {
		list, err := withTLS(host)
		list[0].Scheme = "https"
		return list, err
	}
	if _, err := Send(t.Context(), Job{Ref: host + "/a:1", Root: root, From: s, Hosts: asTLS}); err == nil || !strings.Contains(err.Error(), `speaks http without TLS: if that is meant, set registries: {"`) {
		t.Errorf("%v", err)
	}
	self := httptest.NewTLSServer(http.NotFoundHandler())
	defer self.Close()
	if _, err := Send(t.Context(), Job{Ref: strings.TrimPrefix(self.URL, "https://") + "/a:1", Root: root, From: s, Hosts: asTLS}); err == nil || !strings.Contains(err.Error(), "is not trusted") || !strings.Contains(err.Error(), "{ca: [FILE]}") {
		t.Errorf("%v", err)
	}
}

// TestWhatARegistrySays is shown without what would steer a terminal, and cut between letters.
func TestWhatARegistrySays(t *testing.T) {
	for text, want := range map[string]string{
		"no \x1b[2J\n\tway\a\u202e": "no [2J way", "caf\xc3": "caf", strings.Repeat("é", mostSaid): strings.Repeat("é", mostSaid),
		strings.Repeat("é", mostSaid+1): strings.Repeat("é", mostSaid) + "…",
	} {
		if got := said(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// TestABrokenOffPush ends at once.
func TestABrokenOffPush(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	held := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { cancel(); <-req.Context().Done() }))
	defer held.Close()
	s := newStore(t)
	_, err := Send(ctx, Job{Ref: strings.TrimPrefix(held.URL, "http://") + "/a:1", Root: image(t, s), From: s, Hosts: hosts("", "")})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestSources of a blob: the repository whose name begins most like the one that is pushed to.
func TestSources(t *testing.T) {
	for list, want := range map[string]string{"": "", "org/app": "", "library/x,org/base,other": "org/base", "org/app,z": "z"} {
		if got := nearest(list, "org/app"); got != want {
			t.Errorf("%q: %q, want %q", list, got, want)
		}
	}
}
