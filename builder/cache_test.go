package builder

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	controlapi "github.com/moby/buildkit/api/services/control"

	"github.com/orlop/orlop/spec"
)

func TestCachesAreReadAsBuildxReadsThem(t *testing.T) {
	env := map[string]string{
		"ACTIONS_RUNTIME_TOKEN": "token", "ACTIONS_RESULTS_URL": "https://r", "ACTIONS_CACHE_SERVICE_V2": "True", "AWS_REGION": "eu",
	}
	for _, c := range []struct {
		value string
		to    bool
		want  Cache
	}{
		{"type=local,dest=cache,mode=max", true, Cache{"local", map[string]string{"dest": "/w/cache", "mode": "max"}}},
		{"type=local,src=/abs", false, Cache{"local", map[string]string{"src": "/abs"}}},
		{"reg.example.com/app:cache", false, Cache{"registry", map[string]string{"ref": "reg.example.com/app:cache"}}},
		{"type=inline", true, Cache{"inline", map[string]string{}}},
		{"type=gha,scope=x", true, Cache{"gha", map[string]string{"scope": "x", "token": "token", "url_v2": "https://r", "version": "2"}}},
		{"type=s3,bucket=b,region=us", true, Cache{"s3", map[string]string{"bucket": "b", "region": "us"}}},
		{"type=s3,bucket=b", false, Cache{"s3", map[string]string{"bucket": "b", "region": "eu"}}},
	} {
		got, err := ParseCache(c.value, c.to, "/w", env)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s is %+v, %v, want %+v", c.value, got, err, c.want)
		}
	}
	for value, want := range map[string]string{
		"type=floppy": "must be one of azblob, gha, inline, local, registry, s3", "type=local": "needs dest=", "": "must be type=",
		"type=local,dest": "must be type=",
	} {
		if _, err := ParseCache(value, true, "/w", nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", value, err, want)
		}
	}
	if _, err := ParseCache("type=inline", false, "/w", nil); err == nil {
		t.Error("an inline cache is read from nowhere")
	}
}

func TestServicesDoNotWriteOverEachOthersCaches(t *testing.T) {
	for _, c := range []struct{ value, attr, want string }{
		{"type=local,dest=/d", "tag", "web"}, {"type=local,dest=/d,tag=main", "tag", "main-web"}, {"type=gha", "scope", "web"},
		{"type=s3,bucket=b", "name", "web"}, {"type=azblob,account_url=u,name=n", "name", "n-web"},
		{"r:5000/app", "ref", "r:5000/app:web"}, {"r:5000/app:cache", "ref", "r:5000/app:cache-web"},
	} {
		cache, err := ParseCache(c.value, true, "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		before := len(cache.Attrs)
		got := cachesOf(t, Request{Service: "web", Options: Options{CacheTo: []Cache{cache}}, Build: &spec.Build{}}).Exports
		if len(got) != 1 || got[0].Attrs[c.attr] != c.want {
			t.Errorf("%s gives web %v, want %s=%s", c.value, got, c.attr, c.want)
		}
		if len(cache.Attrs) != before {
			t.Errorf("%s was changed for all services", c.value)
		}
	}
	none := cachesOf(t, Request{Service: "web", Build: &spec.Build{}})
	if !reflect.DeepEqual(none, &controlapi.CacheOptions{}) {
		t.Errorf("without being asked %v is written or read", none)
	}
}

func cachesOf(t *testing.T, req Request) *controlapi.CacheOptions {
	t.Helper()
	o, err := cacheOptions(req)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestTheCachesOfAStackFileAreItsOwn: their place is what is written, from the project's
// directory; the command's place is shared by all services.
func TestTheCachesOfAStackFileAreItsOwn(t *testing.T) {
	o := cachesOf(t, Request{Service: "web", Dir: "/p", Options: Options{CacheFrom: []Cache{{Type: "local", Attrs: map[string]string{"src": "/c"}}}}, Build: &spec.Build{
		CacheFrom: []string{"example.com/web:cache", "type=local,src=in,tag=x"}, CacheTo: []string{"type=inline", "type=registry,ref=example.com/web:cache,mode=max", "type=local,dest=/out"},
	}})
	var got []string
	for _, e := range slices.Concat(o.Imports, o.Exports) {
		got = append(got, fmt.Sprint(e.Type, e.Attrs))
	}
	want := "local map[src:/c tag:web]|registry map[ref:example.com/web:cache]|local map[src:/p/in tag:x]|inline map[]|registry map[mode:max ref:example.com/web:cache]|local map[dest:/out]"
	if text := strings.Join(got, "|"); strings.ReplaceAll(text, " ", "") != strings.ReplaceAll(want, " ", "") {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}
