package remote

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/orlop/orlop/e2e/lab"
	"github.com/orlop/orlop/spec/userfile"
)

func newRegistry(t *testing.T) *lab.Registry {
	t.Helper()
	r, err := lab.NewRegistry()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func publish(t *testing.T, r *lab.Registry, name string, files ...lab.StackFile) string {
	t.Helper()
	d, err := r.PublishStack(name, files...)
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// TestAnArtifactIsLocked: what the tag was is used, whatever it is since.
//
// Risk supply chain: the tag of an artifact that a stack includes moves
// Held: the digest that orlop.lock names is used, until an update is asked for
func TestAnArtifactIsLocked(t *testing.T) {
	registry, cache, project := newRegistry(t), t.TempDir(), t.TempDir()
	first := publish(t, registry, "stacks/app:1", lab.StackFile{Kind: "file", Name: "compose.yaml", Content: "a: 1\n"}, lab.StackFile{Kind: "file", Name: "override.yaml", Content: "---\nb: 2\n"},
		lab.StackFile{Kind: "envfile", Name: "x.env", Content: "A=1\n"}, lab.StackFile{Kind: "extends", Name: "base.yaml", Content: "c: 3\n"})
	name := "oci://" + registry.Address() + "/stacks/app:1"
	s := newStacks(t, cache)
	r, err := s.Fetch(t.Context(), name, project)
	if err != nil {
		t.Fatal(err)
	}
	if r.Name != name || r.Digest != first {
		t.Errorf("the remote is %+v", r)
	}
	for file, want := range map[string]string{"compose.yaml": "a: 1\n\n---\n---\nb: 2\n", "x.env": "A=1\n", "base.yaml": "c: 3\n"} {
		if got := textOf(t, filepath.Join(r.Dir, file)); got != want {
			t.Errorf("%s is %q, want %q", file, got, want)
		}
	}
	if _, err := s.Save(project, true); err != nil {
		t.Fatal(err)
	}
	second := publish(t, registry, "stacks/app:1", lab.StackFile{Kind: "file", Name: "compose.yaml", Content: "a: 2\n"})
	asked := registry.Asked("stacks")
	if r, err = newStacks(t, cache).Fetch(t.Context(), name, project); err != nil || r.Digest != first || registry.Asked("stacks") != asked {
		t.Errorf("it is %+v after %d requests: %v", r, registry.Asked("stacks")-asked, err)
	}
	if r, err = newStacks(t, t.TempDir()).Fetch(t.Context(), name, project); err != nil || r.Digest != first {
		t.Errorf("elsewhere it is %+v: %v", r, err)
	}
	// What a reference pins needs no lock, and asks for nothing but that.
	pinned := newStacks(t, t.TempDir())
	pinned.Frozen = true
	if r, err = pinned.Fetch(t.Context(), "oci://"+registry.Address()+"/stacks/app@"+second, t.TempDir()); err != nil || r.Digest != second {
		t.Errorf("pinned it is %+v: %v", r, err)
	}
}

// TestWhatIsKnownIsEnoughOffline: for verbs that ask nobody.
func TestWhatIsKnownIsEnoughOffline(t *testing.T) {
	registry, cache := newRegistry(t), t.TempDir()
	publish(t, registry, "stacks/app:1", lab.StackFile{Kind: "file", Name: "compose.yaml", Content: "a: 1\n"})
	name := "oci://" + registry.Address() + "/stacks/app:1"
	offline := func() *Stacks { s := newStacks(t, cache); s.Offline = true; return s }
	if _, err := offline().Fetch(t.Context(), name, t.TempDir()); err == nil || !strings.Contains(err.Error(), `run "orlop config" first`) {
		t.Errorf("said is %v", err)
	}
	if _, err := newStacks(t, cache).Fetch(t.Context(), name, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	registry.Close()
	if _, err := offline().Fetch(t.Context(), name, t.TempDir()); err != nil {
		t.Error(err)
	}
}

// TestAHostileArtifact is refused, and nothing of it is left.
//
// Risk include traversal: a file of an artifact is named ../../x, or by an absolute path
// Held: refused, and nothing is written outside of the cache
// Risk supply chain: a registry sends another manifest or file than the digest says
// Held: refused, and the next command does not find it in the cache
// Risk legal input: an artifact has a file of more than 8 MB
// Held: refused before it is read
func TestAHostileArtifact(t *testing.T) {
	registry, cache := newRegistry(t), t.TempDir()
	stack := lab.StackFile{Kind: "file", Name: "compose.yaml", Content: "a: 1\n"}
	for name, want := range map[string]string{"../../x": "leads out", "/tmp/x": "leads out", `..\x`: "leads out", "..": "leads out", "": "leads out", "compose.yaml": "exists"} {
		publish(t, registry, "stacks/hostile:1", stack, lab.StackFile{Kind: "envfile", Name: name, Content: "X=1\n"})
		_, err := newStacks(t, cache).Fetch(t.Context(), "oci://"+registry.Address()+"/stacks/hostile:1", t.TempDir())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
		mustBeEmpty(t, cache)
	}
	publish(t, registry, "stacks/large:1", lab.StackFile{Kind: "file", Name: "compose.yaml", Content: strings.Repeat(" ", 9<<20)})
	publish(t, registry, "stacks/none:1", lab.StackFile{Kind: "envfile", Name: "x", Content: ""})
	publish(t, registry, "corrupt/app:1", stack)
	publish(t, registry, "private/app:1", stack)
	publish(t, registry, "swapped/app:1", stack)
	publish(t, registry, "swapped/other:1", lab.StackFile{Kind: "file", Name: "compose.yaml", Content: "other: 1\n"})
	for name, want := range map[string]string{
		"stacks/large:1": "more than", "stacks/none:1": "no stack file", "corrupt/app:1": "something else", "private/app:1": "log in", "stacks/absent:1": "not in its registry",
		"swapped/app:1": "something else", "large/app:1": "",
	} {
		_, err := newStacks(t, cache).Fetch(t.Context(), "oci://"+registry.Address()+"/"+name, t.TempDir())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
		t.Log(err)
		mustBeEmpty(t, cache)
	}
	s := newStacks(t, cache)
	s.Login = func(context.Context, string) (string, string, error) {
		return lab.RegistryUser, lab.RegistrySecret, nil
	}
	if _, err := s.Fetch(t.Context(), "oci://"+registry.Address()+"/private/app:1", t.TempDir()); err != nil {
		t.Errorf("with a login: %v", err)
	}
}

// TestAnArtifactThatIsTooLarge is refused by what its manifest says, before any of its
// files is asked for: they are put together in memory.
//
// Risk legal input: an artifact names hundreds of files that make one stack file of gigabytes
// Held: refused before any is fetched
func TestAnArtifactThatIsTooLarge(t *testing.T) {
	layer := func(kind string, size int64) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: kind, Size: size, Digest: digest.FromString("x")}
	}
	times := func(count int, l ocispec.Descriptor) []ocispec.Descriptor {
		return slices.Repeat([]ocispec.Descriptor{l}, count)
	}
	for name, c := range map[string]struct {
		layers []ocispec.Descriptor
		want   string
	}{
		"many stack files":       {times(2, layer(stackFileType, userfile.MaxText/2)), "its stack files are larger than 8 MB together"},
		"many environment files": {times(5, layer(envFileType, userfile.MaxText)), "it is larger than 32 MB"},
		"one":                    {times(1, layer(envFileType, userfile.MaxText+1)), "more than the"},
		"of no size":             {times(3, layer(stackFileType, -1<<40)), "a size of -"},
		"whatever else it has":   {times(400, layer("text/plain", 1<<40)), ""},
		"what fits":              {append(times(1, layer(stackFileType, userfile.MaxText)), times(3, layer(envFileType, userfile.MaxText))...), ""},
	} {
		err := checkSizes(c.layers, 32<<20)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	registry, part := newRegistry(t), lab.StackFile{Kind: "file", Name: "compose.yaml", Content: strings.Repeat(" ", 3<<20)}
	publish(t, registry, "stacks/sum:1", part, part, part)
	_, err := newStacks(t, t.TempDir()).Fetch(t.Context(), "oci://"+registry.Address()+"/stacks/sum:1", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "together") {
		t.Errorf("it says %v", err)
	}
}

// TestAnImageIsNoStack, and neither is what answers without being a registry.
func TestAnImageIsNoStack(t *testing.T) {
	image := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json"},"layers":[]}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/image/") {
			http.Error(w, "teapot", http.StatusTeapot)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Docker-Content-Digest", digest.FromString(image).String())
		_, _ = w.Write([]byte(image))
	}))
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "http://")
	for reference, want := range map[string]string{
		"oci://" + address + "/image/a:1": "it is an image, not a stack", "oci://" + address + "/a:1": "does not answer as it should", "oci://Not/A:Name": "write oci://", "oci://": "write oci://",
	} {
		_, err := newStacks(t, t.TempDir()).Fetch(t.Context(), reference, t.TempDir())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", reference, err)
		}
	}
}

// TestCommandsBesideEachOther fetch the same, and all have it whole.
func TestCommandsBesideEachOther(t *testing.T) {
	registry, cache, project := newRegistry(t), t.TempDir(), t.TempDir()
	publish(t, registry, "stacks/app:1", lab.StackFile{Kind: "file", Name: "compose.yaml", Content: "a: 1\n"})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s := newStacks(t, cache)
			r, err := s.Fetch(t.Context(), "oci://"+registry.Address()+"/stacks/app:1", project)
			if err != nil {
				t.Error(err)
				return
			}
			if text, err := os.ReadFile(filepath.Join(r.Dir, "compose.yaml")); string(text) != "a: 1\n" {
				t.Errorf("it has %q: %v", text, err)
			}
			if _, err := s.Save(project, true); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	mustHaveNoTemporary(t, cache)
}

// TestWhatAKilledCommandLeaves is no stack, and goes a day later.
func TestWhatAKilledCommandLeaves(t *testing.T) {
	registry, cache := newRegistry(t), t.TempDir()
	publish(t, registry, "stacks/app:1", lab.StackFile{Kind: "file", Name: "compose.yaml", Content: "a: 1\n"})
	old, fresh := filepath.Join(cache, temporaryPrefix+"1"), filepath.Join(cache, temporaryPrefix+"2")
	for _, dir := range []string{old, fresh} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	before := time.Now().Add(-2 * abandoned)
	if err := os.Chtimes(old, before, before); err != nil {
		t.Fatal(err)
	}
	r, err := newStacks(t, cache).Fetch(t.Context(), "oci://"+registry.Address()+"/stacks/app:1", t.TempDir())
	if err != nil || textOf(t, filepath.Join(r.Dir, "compose.yaml")) != "a: 1\n" {
		t.Errorf("it is %+v: %v", r, err)
	}
	if isThere(old) || !isThere(fresh) {
		t.Error("what another command is writing is gone, or what none does is there")
	}
}

func mustHaveNoTemporary(t *testing.T, cache string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(cache, temporaryPrefix+"*"))
	if err != nil || len(found) > 0 {
		t.Errorf("%v is left: %v", found, err)
	}
}
