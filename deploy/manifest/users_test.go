package manifest_test

import (
	"slices"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/orlop/orlop/deploy/manifest"
)

func TestWhichServicesUseAResource(t *testing.T) {
	const file = `gate r/gate:1
-- stack.yaml --
services:
  web: {image: web, networks: [front], configs: [site], depends_on: [db]}
  db: {image: db, networks: [back], volumes: ["data:/data"], secrets: [key]}
  both: {image: both, networks: [front, back], volumes: ["data:/data"]}
networks: {front: {}, back: {internal: true}}
volumes: {data: {}}
configs: {site: {content: a}}
secrets: {key: {file: ./key}}
-- key --
secret
`
	project, options := stack(t, txtar.Parse([]byte(file)))
	set, found := manifest.Build(project, options)
	if len(found.Errors()) > 0 {
		t.Fatal(found.Errors())
	}
	want := map[string][]string{
		"network front": {"both", "web"}, "network back": {"both", "db"}, "volume data": {"both", "db"}, "config site": {"web"}, "secret key": {"db"}, "access of gates": {"web"},
		"web": nil, "db": nil, "both": nil,
	}
	for _, r := range set.Resources {
		var users []string
		for _, other := range set.Resources {
			if r.IsUsedBy(other) {
				users = append(users, other.Key)
			}
		}
		slices.Sort(users)
		if expected, known := want[r.Name()]; !known || !slices.Equal(users, expected) {
			t.Errorf("%s is used by %q, want %q", r.Name(), users, expected)
		}
		delete(want, r.Name())
	}
	if len(want) > 0 {
		t.Errorf("there is no %v", want)
	}
}
