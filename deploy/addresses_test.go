package deploy

import (
	"encoding/json"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/orlop/orlop/deploy/cluster"
)

func TestAddressesAreThoseOfOutside(t *testing.T) {
	const mine = "metadata: {labels: {orlop.dev/service: my-web}}\n"
	for _, c := range []struct{ object, want string }{
		{"kind: Service\nspec: {type: ClusterIP, ports: [{port: 80}]}", ""},
		{"kind: Service\nspec: {type: NodePort, ports: [{port: 80, nodePort: 31000, protocol: TCP}, {port: 53, nodePort: 31001, protocol: UDP}]}", "NODE:31000 NODE:31001/udp"},
		{"kind: Service\nspec: {type: LoadBalancer, ports: [{port: 80}, {port: 443}]}", "no address yet for 80, 443"},
		{"kind: Service\nspec: {type: LoadBalancer, ports: [{port: 80}]}\nstatus: {loadBalancer: {ingress: [{ip: '2001:db8::1'}, {hostname: lb.example}]}}", "[2001:db8::1]:80 lb.example:80"},
		{"kind: Ingress\nspec: {rules: [{host: shop.example, http: {paths: [{path: /}, {path: /api}]}}]}", "http://shop.example/ http://shop.example/api"},
		{"kind: Ingress\nspec: {tls: [{secretName: x}], rules: [{host: shop.example, http: {paths: [{path: /}]}}]}", "https://shop.example/"},
		{"kind: HTTPRoute\nspec: {hostnames: [api.example], rules: [{matches: [{path: {value: /v1}}]}]}", "api.example/v1"},
		{"kind: Deployment\nspec: {replicas: 1}", ""},
	} {
		var live, other cluster.Live
		for of, labels := range map[*cluster.Live]string{&live: mine, &other: strings.Replace(mine, "my-web", "other", 1)} {
			var fields map[string]any
			if err := yaml.Unmarshal([]byte(labels+c.object), &fields); err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &of.Object); err != nil {
				t.Fatal(err)
			}
		}
		o := &Observed{Objects: map[string]*cluster.Live{"a": &live, "b": &other}}
		if got := strings.Join(o.Addresses("My_Web"), " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.object, got, c.want)
		}
	}
}
