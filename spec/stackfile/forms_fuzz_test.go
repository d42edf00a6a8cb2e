package stackfile

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzShortForms holds that every short form is a long one or a mistake, and that
// the long one is stable: what config prints loads to the same.
func FuzzShortForms(f *testing.F) {
	for _, s := range []string{"8080:80", "127.0.0.1:1-3:1-3/udp", "[::1]:80:80", "./a:/b:ro,z", "v:/d", "C:\\a:/b", "/a", "~/x:/y", "1.5g", "1m30s", "A=1", "a:1.2.3.4", "0:0:0", ":::", "5-1:80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := json.Marshal([]string{strings.ReplaceAll(s, "$", "$$")})
		if err != nil {
			t.Skip()
		}
		one := string(list[1 : len(list)-1])
		for _, key := range []string{"ports: " + string(list), "volumes: " + string(list), "environment: " + string(list), "extra_hosts: " + string(list), "tmpfs: " + string(list),
			"mem_limit: " + one, "stop_grace_period: " + one, "user: " + one, "command: " + one, "restart: " + one, "network_mode: " + one} {
			load := func(text string) (string, bool) {
				p, _, err := Load(context.Background(), Options{Dir: "/p", Name: "p", Files: []string{"-"}, Stdin: strings.NewReader(text), SkipPayloads: true, Environ: map[string]string{"HOME": "/h"}})
				if err != nil {
					return "", false
				}
				out, err := p.YAML()
				if err != nil {
					t.Fatalf("%s: %v", key, err)
				}
				return string(out), true
			}
			once, ok := load("services: {web: {image: x, " + key + "}, x: {image: x}}\nvolumes: {v: }\n")
			if !ok {
				continue
			}
			if again, ok := load(once); !ok || again != once {
				t.Errorf("%s is\n%s\nand again (%v)\n%s", key, once, ok, again)
			}
		}
	})
}
