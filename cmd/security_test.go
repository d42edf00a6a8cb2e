package cmd_test

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestConfigTellsWhatAStackAsksFor(t *testing.T) {
	d := newDesk(t, `services:
  web:
    image: x
    privileged: true
    ports: ["8080:80"]
    volumes:
      - /etc:/host:ro
      - ./src:/src
`)
	d.env = append(d.env, "ORLOP_ROOT=/srv/engine") // else the project is in the engine's directory, which counts
	out, errs, code := d.run("config --security")
	if code != 0 || errs != "" {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	equal(t, "the list", strings.Join(strings.Fields(out), " "), "privileged stack.yaml:4:17 services.web.privileged true has all devices and capabilities of the host: it can do what root can "+
		"host_mount stack.yaml:7:9 services.web.volumes[0] /etc reads a path of the host outside of the project's directory "+
		"public_port stack.yaml:5:13 services.web.ports[0] 8080/tcp is reached on all addresses of the host")
	out, _, code = d.run("config --security --format json")
	var list []struct {
		Kind  string
		Place struct{ Line int }
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list) != 3 || list[1].Kind != "host_mount" || list[1].Place.Line != 7 {
		t.Errorf("as JSON it is %s: %v", out, err)
	}
	d = newDesk(t, "services: {web: {image: x}}\n")
	if out, _, _ := d.run("config --security"); out != "nothing beyond what every container gets\n" {
		t.Errorf("it prints %q", out)
	}
	if out, _, _ := d.run("config --security --format json"); out != "[]\n" {
		t.Errorf("it prints %q", out)
	}
}
