package builder

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/spec"
)

// TestWhichAgentsAreLent: none that the stack file doesn't ask for, but to fetch a
// context over ssh.
func TestWhichAgentsAreLent(t *testing.T) {
	dir := t.TempDir()
	key, locked, text, pipe, socket := dir+"/key", dir+"/locked", dir+"/text", dir+"/pipe", dir+"/socket"
	writeKey(t, key, false)
	writeKey(t, locked, true)
	if err := errors.Join(os.WriteFile(text, []byte("no key"), 0o600), unix.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, c := range map[string]struct {
		build spec.Build
		agent string // of the caller
		lent  bool
		want  string // error
	}{
		"none":                        {build: spec.Build{Context: "/c"}, agent: socket},
		"the caller's":                {build: spec.Build{SSH: map[string]*string{"default": nil}}, agent: socket, lent: true},
		"a socket":                    {build: spec.Build{SSH: map[string]*string{"x": &socket}}, lent: true},
		"a key":                       {build: spec.Build{SSH: map[string]*string{"x": &key, "default": nil}}, agent: socket, lent: true},
		"a context over ssh":          {build: spec.Build{Context: "git@example.com:a.git"}, agent: socket, lent: true},
		"another context over ssh":    {build: spec.Build{Context: "/c", AdditionalContexts: map[string]string{"x": "ssh://git@example.com/a.git"}}, agent: socket, lent: true},
		"a context, and no agent":     {build: spec.Build{Context: "git@example.com:a.git"}},
		"a context, and a dead agent": {build: spec.Build{Context: "git@example.com:a.git"}, agent: dir + "/gone"},
		"no agent":                    {build: spec.Build{SSH: map[string]*string{"default": nil}}, want: "services.web.build.ssh.default: no ssh agent to lend: SSH_AUTH_SOCK is not set"},
		"a dead agent":                {build: spec.Build{SSH: map[string]*string{"default": nil}}, agent: dir + "/gone", want: "cannot lend the ssh agent or key " + dir + "/gone: no such file"},
		"no such key":                 {build: spec.Build{SSH: map[string]*string{"x": new(dir + "/gone")}}, want: "/gone: no such file"},
		"no key":                      {build: spec.Build{SSH: map[string]*string{"x": &text}}, want: "cannot lend the key " + text + ": ssh: no key found"},
		"a locked key":                {build: spec.Build{SSH: map[string]*string{"x": &locked}}, want: "passphrase"},
		"a pipe":                      {build: spec.Build{SSH: map[string]*string{"x": &pipe}}, want: "neither a key nor the socket"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(agentVariable, c.agent)
			s := &Session{project: project(&c.build)}
			got, err := s.agents("web")
			if (got != nil) != c.lent || c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("lent is %v, %v", got, err)
			}
		})
	}
}

// writeKey writes a private key, or one that says of itself that it has a passphrase.
func writeKey(t *testing.T, path string, isLocked bool) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block := &pem.Block{Type: "PRIVATE KEY", Bytes: text}
	if isLocked {
		block.Headers = map[string]string{"Proc-Type": "4,ENCRYPTED"}
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
}
