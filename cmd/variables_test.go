package cmd_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/orlop/orlop/spec"
)

// TestANameWithoutAValueTakesThatOfTheStackFile holds that -e NAME means what
// ${NAME} means in the file: the caller's environment over environment files.
func TestANameWithoutAValueTakesThatOfTheStackFile(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"run and .env", []string{"run", "-T", "-e", "TOKEN", "web"}, "dotenv"},
		{"run and --env-file", []string{"--env-file", "other.env", "run", "-T", "-e", "TOKEN", "web"}, "other"},
		{"run and the caller", []string{"run", "-T", "-e", "MINE", "web"}, "caller"},
		{"exec and .env", []string{"exec", "-T", "-e", "TOKEN", "web", "env"}, "dotenv"},
		{"exec and --env-file", []string{"--env-file", "other.env", "exec", "-T", "-e", "TOKEN", "web", "env"}, "other"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDesk(t, shop).serve()
			d.env = []string{"MINE=caller"}
			for name, text := range map[string]string{".env": "TOKEN=dotenv\nMINE=x\n", "other.env": "TOKEN=other\n"} {
				if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if _, stderr, code := d.runArgs(test.args...); code != 0 {
				t.Fatalf("exit code is %d: %s", code, stderr)
			}
			got := d.engine.start.Environment
			if d.engine.create != nil {
				p, err := spec.ParseProject(d.engine.create.Apply.Project)
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{"TOKEN", "MINE"} {
					if v := p.Services["web"].Environment[name]; v != nil {
						got = append(got, name+"="+*v)
					}
				}
			}
			if len(got) != 1 || got[0] != "TOKEN="+test.want && got[0] != "MINE="+test.want {
				t.Errorf("the environment is %q, want the value %s", got, test.want)
			}
		})
	}
}
