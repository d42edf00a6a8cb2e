package stackfile

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

const copied = `
name: shop
services:
  db:
    image: postgres
    container_name: shopdb
    volumes: ["data:/data", "named:/n", "other:/o"]
    networks: {back: {ipv4_address: 10.9.0.7}, out: }
  api:
    image: shop/api:1.2
    build: {context: ., additional_contexts: {base: "docker-image://localhost:5000/base"}}
    ports: ["8080:80"]
  twin: {image: "shop/api:1.2"}
  base: {image: "localhost:5000/base", build: .}
  pulled: {image: "registry/x:1", build: ., pull_policy: always}
  plain: {build: .}
  beside: {image: busybox, network_mode: "container:shopdb"}
networks:
  back: {name: shared-back, ipam: {config: [{subnet: 10.9.0.0/24}]}}
  out: {external: true, name: world}
volumes:
  data:
  named: {name: shopdata}
  other: {external: true}
`

func TestAnInstanceSharesNoNameWithItsStack(t *testing.T) {
	p := load(t, copied, Options{Instance: "feat-x"})
	if p.Name != "shop-feat-x" || p.Instance != "feat-x" {
		t.Fatalf("project is %q, instance %q", p.Name, p.Instance)
	}
	got := map[string]string{
		"networks.back": p.Networks["back"].Name, "networks.out": p.Networks["out"].Name, "networks.default": p.Networks["default"].Name,
		"volumes.data": p.Volumes["data"].Name, "volumes.named": p.Volumes["named"].Name, "volumes.other": p.Volumes["other"].Name,
		"container": p.Services["db"].ContainerName, "beside": p.Services["beside"].NetworkMode,
		"context": p.Services["api"].Build.AdditionalContexts["base"],
	}
	for name := range p.Services {
		got["image "+name] = p.ImageName(name)
	}
	want := map[string]string{
		"networks.back": "feat-x-shared-back", "networks.out": "world", "networks.default": "shop-feat-x_default",
		"volumes.data": "shop-feat-x_data", "volumes.named": "feat-x-shopdata", "volumes.other": "other",
		"container": "feat-x-shopdb", "beside": "container:feat-x-shopdb", "context": "docker-image://localhost:5000/base:feat-x",
		"image db": "postgres", "image api": "shop/api:1.2-feat-x", "image twin": "shop/api:1.2-feat-x",
		"image base": "localhost:5000/base:feat-x", "image pulled": "registry/x:1", "image plain": "shop-feat-x-plain", "image beside": "busybox",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("names are\n%v\nwant\n%v", got, want)
	}
	back := p.Services["db"].Networks["back"]
	if !reflect.DeepEqual(back, &spec.ServiceNetwork{Aliases: []string{"shopdb"}}) || p.Networks["back"].IPAM != nil {
		t.Errorf("db is on back as %+v, with %+v: want the alias shopdb and no fixed address", back, p.Networks["back"].IPAM)
	}
	if out := p.Services["db"].Networks["out"]; !reflect.DeepEqual(out, &spec.ServiceNetwork{Aliases: []string{"shopdb"}}) {
		t.Errorf("db is on out as %+v", out)
	}
	if ports := p.Services["api"].Ports; ports[0].Published != "8080" {
		t.Errorf("the wanted port is %q: the file's own must stay", ports[0].Published)
	}
	for name, owns := range map[string]bool{"api": true, "plain": true, "pulled": false, "twin": false, "db": false} {
		if p.OwnsImage(name) != owns {
			t.Errorf("OwnsImage(%s) is %t", name, !owns)
		}
	}
}

func TestAnInstanceWarnsOfFixedAddressesThatItLeavesAside(t *testing.T) {
	_, diagnostics, err := Load(context.Background(), Options{
		Dir: t.TempDir(), Files: []string{"-"}, Stdin: strings.NewReader(copied), Instance: "a",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range diagnostics.Warnings() {
		if d.Path == "networks.back.ipam.config" && d.Place.Line > 0 {
			return
		}
	}
	t.Errorf("no placed warning in %v", diagnostics)
}

func TestWithoutAnInstanceNothingIsRenamed(t *testing.T) {
	p := load(t, copied, Options{})
	doc, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if p.Networks["back"].IPAM == nil || p.Services["db"].ContainerName != "shopdb" || p.ImageName("api") != "shop/api:1.2" {
		t.Errorf("the project is %s", doc)
	}
	if strings.Contains(string(doc), `"instance"`) {
		t.Errorf("the document speaks of an instance: %s", doc)
	}
}

func TestTheConfigOfAnInstanceLoadsWithoutIt(t *testing.T) {
	p := load(t, copied, Options{Instance: "a"})
	text, err := p.YAML()
	if err != nil {
		t.Fatal(err)
	}
	back := load(t, string(text), Options{})
	p.Instance = ""
	if !reflect.DeepEqual(back.Services, p.Services) || !reflect.DeepEqual(back.Networks, p.Networks) || !reflect.DeepEqual(back.Volumes, p.Volumes) {
		t.Errorf("the canonical form loads to something else:\n%s", text)
	}
}
