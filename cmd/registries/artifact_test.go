package registries

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

// TestFilesThatAStackNames go along under names that say nothing of where they were; the rest is as it
// is written.
func TestFilesThatAStackNames(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{
		"stack.yaml": `# of the shop
x-common: &common
  env_file: [web.env, {path: absent.env, required: false}]
services:
  web: {<<: *common, image: "web:${TAG-1}"}
  api:
    <<: *common
    extends: {service: base, file: "${BASE}/base.yaml"}
  far:
    extends: {service: a, file: "oci://r.test/a:1"}
---
services:
  web: {env_file: "more.env"} # at the end
`,
		"plain.yaml": "services: {web: {image: x}}   # untouched\n", "web.env": "A=1\n", "more.env": "B=1\n",
		"lib/base.yaml": "services:\n  base:\n    env_file: own.env\n    extends: {service: deep, file: deep.yaml}\n", "lib/own.env": "C=1\n",
		"lib/deep.yaml": "services: {deep: {image: y}}\n",
	}
	if err := os.Mkdir(filepath.Join(dir, "lib"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		write(t, filepath.Join(dir, name), text, 0o600)
	}
	p := &spec.Project{WorkingDir: dir, Files: []string{filepath.Join(dir, "stack.yaml"), filepath.Join(dir, "plain.yaml")}}
	a, err := gather(p, func(name string) (string, bool) { return "lib", name == "BASE" })
	if err != nil {
		t.Fatal(err)
	}
	if err := a.withEnvironment(); err != nil {
		t.Fatal(err)
	}
	byName := map[string]published{}
	var kinds []string
	for _, f := range a.files {
		byName[f.name] = f
		kinds = append(kinds, f.kind)
	}
	if got := strings.Join(kinds, " "); got != "file file extends extends envfile envfile envfile" {
		t.Fatalf("the files are %s", got)
	}
	at := func(name, suffix string) string { return hashed(filepath.Join(dir, name), suffix) }
	main := string(byName["stack.yaml"].content)
	for _, want := range []string{
		"# of the shop", at("web.env", ".env"), at("absent.env", ".env"), at("more.env", ".env"), at("lib/base.yaml", ".yaml"), "oci://r.test/a:1", "web:${TAG-1}", "<<: *common", "# at the end",
	} {
		if !strings.Contains(main, want) {
			t.Errorf("there is no %s in\n%s", want, main)
		}
	}
	if strings.Contains(main, dir) || strings.Contains(main, "web.env") {
		t.Errorf("it says where files were:\n%s", main)
	}
	if string(byName["plain.yaml"].content) != files["plain.yaml"] {
		t.Errorf("a file is another: %s", byName["plain.yaml"].content)
	}
	base := string(byName[at("lib/base.yaml", ".yaml")].content)
	if !strings.Contains(base, at("lib/own.env", ".env")) || !strings.Contains(base, at("lib/deep.yaml", ".yaml")) || string(byName[at("lib/own.env", ".env")].content) != "C=1\n" {
		t.Errorf("the base is\n%s", base)
	}
}

// TestAliasesOfFiles have the name that their anchor was given, whoever names the file first.
func TestAliasesOfFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "web.env"), "A=1\n", 0o600)
	write(t, filepath.Join(dir, "base.yaml"), "services: {b: {image: x}}\n", 0o600)
	path := filepath.Join(dir, "s.yaml")
	write(t, path, `x-env: &env web.env
x-list: &list [*env]
x-base: &base {service: b, file: base.yaml}
services:
  a: {image: x, env_file: *env, extends: *base}
  b: {image: x, env_file: [*env], extends: *base}
  c: {image: x, env_file: *list, extends: {<<: *base, service: b}}
  d: {image: x, env_file: [{path: *env, required: true}]}
`, 0o600)
	a, err := gather(&spec.Project{WorkingDir: dir, Files: []string{path}}, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	if err := a.withEnvironment(); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range a.files {
		names = append(names, f.name)
	}
	want := []string{"s.yaml", hashed(filepath.Join(dir, "base.yaml"), ".yaml"), hashed(filepath.Join(dir, "web.env"), ".env")}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("the files are\n%s\nwant\n%s", names, want)
	}
	if text := string(a.files[0].content); !strings.Contains(text, "x-env: &env "+want[2]) || !strings.Contains(text, "file: "+want[1]) {
		t.Errorf("it is\n%s", text)
	}
}

// TestWhatIsAskedAbout names places, and no values.
//
// Risk secrets: a stack file that is published holds passwords, keys or tokens
// Held: they are found by their form or by the name of their variable, told with their places and without their values, and nothing is published without a yes
func TestWhatIsAskedAbout(t *testing.T) {
	for text, want := range map[string]string{
		"services: {a: {environment: {DB_PASSWORD: hunter22}}}":                       "s.yaml:1: services.a.environment.DB_PASSWORD has its value in the file",
		"services: {a: {environment: [API_KEY=hunter22]}}":                            "s.yaml:1: services.a.environment.API_KEY has its value in the file",
		"jobs: {a: {environment: {MY_TOKEN: hunter22}}}":                              "s.yaml:1: jobs.a.environment.MY_TOKEN has its value in the file",
		"services: {a: {environment: {DB_PASSWORD: \"${P}\"}}}":                       "",
		"services: {a: {environment: {DB_PASSWORD: \"a$$hunter22\"}}}":                "s.yaml:1: services.a.environment.DB_PASSWORD has its value in the file",
		"services: {a: {environment: {DB_PASSWORD_FILE: /run/secrets/hunter22}}}":     "",
		"services: {a: {environment: {DB_PASSWORD: }}}":                               "",
		"services: {a: {environment: {LOG: hunter22}}}":                               "",
		"configs: {a: {content: \"${KEY}\"}}":                                         "",
		"configs: {a: {content: \"pw=hunter22 ${X}\"}}":                               "s.yaml:1: configs.a.content is written into the file",
		"x-e: &e {DB_PASSWORD: hunter22}\nservices: {a: {environment: {<<: *e}}}":     "s.yaml:1: services.a.environment.DB_PASSWORD has its value in the file",
		"x-e: &e {DB_PASSWORD: hunter22}\nservices: {a: {environment: *e}}":           "s.yaml:1: services.a.environment.DB_PASSWORD has its value in the file",
		"x-v: &v hunter22\nservices: {a: {environment: {DB_PASSWORD: *v}}}":           "s.yaml:1: services.a.environment.DB_PASSWORD has its value in the file",
		"x-s: &s {a: {environment: {DB_PASSWORD: hunter22}}}\nservices: {<<: *s}":     "s.yaml:1: services.a.environment.DB_PASSWORD has its value in the file",
		"x-e: {DB_PASSWORD: hunter22}":                                                "s.yaml:1: x-e.DB_PASSWORD has its value in the file",
		"services: {a: {environment: {DB_PASSWORD: \"${PW:-hunter22}\"}}}":            "s.yaml:1: services.a.environment.DB_PASSWORD has its value in the file",
		"services: {a: {environment: [\"DB_PASSWORD=${PW-hunter22}\"]}}":              "s.yaml:1: services.a.environment.DB_PASSWORD has its value in the file",
		"services: {a: {environment: {DB_PASSWORD: \"${A:-${B:+hunter22}}\"}}}":       "s.yaml:1: services.a.environment.DB_PASSWORD has its value in the file",
		"services: {a: {environment: {DB_PASSWORD: \"${PW:?set hunter22}\"}}}":        "",
		"services: {a: {environment: {DB_PASSWORD: \"${A:-$B}${C-${D}}\"}}}":          "",
		"services: {a: {environment: {DB_PASSWORD: \"hunter22${X}\"}}}":               "s.yaml:1: services.a.environment.DB_PASSWORD has its value in the file",
		"services: {a: {build: {args: {NPM_TOKEN: hunter22}}}}":                       "s.yaml:1: services.a.build.args.NPM_TOKEN has its value in the file",
		"services: {a: {build: {args: [NPM_TOKEN=hunter22]}}}":                        "s.yaml:1: services.a.build.args.NPM_TOKEN has its value in the file",
		"services: {a: {command: [x, --token=hunter22]}}":                             "s.yaml:1: services.a.command.token has its value in the file",
		"services: {a: {post_start: [{environment: {MY_TOKEN: hunter22}}]}}":          "s.yaml:1: services.a.post_start.environment.MY_TOKEN has its value in the file",
		"services: {a: {pre_stop: [{environment: [MY_TOKEN=hunter22]}]}}":             "s.yaml:1: services.a.pre_stop.environment.MY_TOKEN has its value in the file",
		"services: {a: {pre_start: [{environment: {MY_TOKEN: hunter22}}]}}":           "s.yaml:1: services.a.pre_start.environment.MY_TOKEN has its value in the file",
		"services: {a: {pre_start: [{env_file: x.env}]}}":                             "s.yaml:1: services.a.pre_start.env_file is x.env",
		"services: {a: {secrets: [api_token], environment: {NEEDS_TOKEN: true}}}":     "",
		"secrets: {api_token: {environment: API_TOKEN}}":                              "",
		"\n\n# c\nservices: {a: {env_file: x.env}}\n\nx: AKIAIOSFODNN7EXAMPLE":        "s.yaml:4: services.a.env_file is x.env\ns.yaml:6: there is what looks like an access key of AWS",
		"configs: {a: {content: \"hunter22\"}}":                                       "s.yaml:1: configs.a.content is written into the file",
		"x: AKIAIOSFODNN7EXAMPLE":                                                     "s.yaml:1: there is what looks like an access key of AWS",
		"x: postgres://u:hunter22@db/x":                                               "s.yaml:1: there is what looks like an address with a user's password",
		"x: \"postgres://u:${P}@db/x\"":                                               "",
		"x: |\n  -----BEGIN RSA PRIVATE KEY-----\n  hunter22":                         "s.yaml:2: there is what looks like a private key",
		"x: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4fwpMe": "s.yaml:1: there is what looks like a JSON web token",
	} {
		path := filepath.Join(t.TempDir(), "s.yaml")
		write(t, path, text+"\n", 0o600)
		a, err := gather(&spec.Project{WorkingDir: filepath.Dir(path), Files: []string{path}}, func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(a.findings.lines(false), "\n")
		if got != want || strings.Contains(got, "hunter22") {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}

// TestAnchorsThatHurt are read in time.
func TestAnchorsThatHurt(t *testing.T) {
	var b strings.Builder
	b.WriteString("x0: &a0 {env_file: x}\n")
	for i := 1; i < 40; i++ {
		fmt.Fprintf(&b, "x%d: &a%d {<<: [*a%d, *a%d]}\n", i, i, i-1, i-1)
	}
	b.WriteString("services: {a: {<<: *a39}}\n")
	path := filepath.Join(t.TempDir(), "s.yaml")
	write(t, path, b.String(), 0o600)
	if _, err := gather(&spec.Project{WorkingDir: filepath.Dir(path), Files: []string{path}}, func(string) (string, bool) { return "", false }); err != nil {
		t.Error(err)
	}
}
