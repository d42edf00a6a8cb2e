package api

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"

	"google.golang.org/grpc/metadata"
)

// proxiesKey is the key of a call's proxies; a binary one, for they are JSON.
const proxiesKey = "orlop-proxies-bin"

// Proxies are those by which a caller reaches registries, as its environment has
// them; "" is none.
type Proxies struct {
	HTTP  string `json:"http,omitempty"`
	HTTPS string `json:"https,omitempty"`
	No    string `json:"no,omitempty"`
	All   string `json:"all,omitempty"` // for git alone; Go's client does not know it
}

// ProxiesOf are those of an environment, in the names that Go's client knows.
func ProxiesOf(env map[string]string) *Proxies {
	return &Proxies{
		HTTP:  cmp.Or(env["HTTP_PROXY"], env["http_proxy"]),
		HTTPS: cmp.Or(env["HTTPS_PROXY"], env["https_proxy"]),
		No:    cmp.Or(env["NO_PROXY"], env["no_proxy"]),
		All:   cmp.Or(env["ALL_PROXY"], env["all_proxy"]),
	}
}

// Environ is the environment of a program that goes by them.
func (p *Proxies) Environ() map[string]string {
	env := map[string]string{}
	for name, value := range map[string]string{"http_proxy": p.HTTP, "https_proxy": p.HTTPS, "no_proxy": p.No, "all_proxy": p.All} {
		if value != "" {
			env[name], env[strings.ToUpper(name)] = value, value
		}
	}
	return env
}

// with adds the proxies to a call.
func (p *Proxies) with(ctx context.Context) context.Context {
	if p == nil {
		return ctx
	}
	text, err := json.Marshal(p)
	if err != nil {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, proxiesKey, string(text))
}

// CallersProxies are those of the call that a server answers; nil if it did not
// say.
func CallersProxies(ctx context.Context) *Proxies {
	said := metadata.ValueFromIncomingContext(ctx, proxiesKey)
	var p Proxies
	if len(said) == 0 || json.Unmarshal([]byte(said[0]), &p) != nil {
		return nil
	}
	return &p
}
