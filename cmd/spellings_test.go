package cmd_test

import (
	"slices"
	"strings"
	"testing"
)

func TestAWordBehindTheSwitchParallelIsItsLimit(t *testing.T) {
	for _, test := range []struct {
		args     string
		limit    int
		services string
	}{
		{"build --parallel", 0, ""},
		{"build --parallel=3", 3, ""},
		{"build --parallel 3", 3, ""},
		{"build --parallel 3 web", 3, "web"},
		{"build web --parallel 3", 3, "web"},
		{"build --parallel web", 0, "web"},
		{"build --parallel -1", 0, ""},
		{"pull --parallel", 0, ""},
		{"pull --parallel=1", 1, ""},
		{"pull --parallel 1", 1, ""},
		{"pull --parallel 1 cache", 1, "cache"},
		{"--parallel 2 pull", 2, ""},
		{"--parallel 2 pull --parallel cache", 2, "cache"},
		{"up -d --parallel 2 web", 2, "web"},
		{"build --parallel=true 1", 0, "1"},
		{"build 1 --parallel", 0, "1"},
		{"build --parallel -- 1", 0, "1"},
	} {
		t.Run(test.args, func(t *testing.T) {
			d := newDesk(t, "services:\n  web: {image: web, build: .}\n  cache: {image: redis}\n  \"1\": {image: one, build: .}\n").serve()
			d.write("Dockerfile", "FROM scratch\n")
			if _, stderr, code := d.run(test.args); code != 0 {
				t.Fatalf("exit code is %d: %s", code, stderr)
			}
			got := d.applied()
			if got.Limit != test.limit || !slices.Equal(got.Services, strings.Fields(test.services)) {
				t.Errorf("the limit is %d of services %q, want %d of %q", got.Limit, got.Services, test.limit, test.services)
			}
		})
	}
}
