package builder

import (
	"io"
	"os"
	"testing"

	"github.com/orlop/orlop/spec"
)

// A command that is killed removes nothing: what it lends of the stack file is on no disk.
func TestADockerfileOfTheStackFileIsLentFromMemory(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	const text = "FROM scratch\nCOPY a /\n"
	b := &spec.Build{Context: t.TempDir(), DockerfileInline: text}
	s := &Session{project: &spec.Project{Services: map[string]*spec.Service{"web": {Build: b}}}}
	dirs, _, err := s.lend("web", &ledger{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := dirs[dockerfileName].Open(dockerfileBase(b))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || string(got) != text {
		t.Errorf("the Dockerfile is %q, %v; want %q", got, err, text)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("the directory of temporary files holds %v, %v", left, err)
	}
}
