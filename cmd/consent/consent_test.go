package consent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/privilege"
)

// stack is a project whose remote stack of a digest mounts a directory of the host.
func stack(digest, source string) *spec.Project {
	return &spec.Project{
		WorkingDir: "/p", Remotes: []*spec.Remote{{Name: "oci://r.test/app:1", Digest: digest, Dir: "/cache/" + digest}},
		Services: map[string]*spec.Service{"web": {CapAdd: []string{"ALL"}, Volumes: []spec.Mount{{Type: spec.MountBind, Source: source}}}},
		Places: spec.PlacesOf(map[string]spec.Place{
			"services.web.volumes[0]": {File: "oci://r.test/app:1: compose.yaml", Line: 1, Column: 1}, "services.web.cap_add[0]": {File: "stack.yaml", Line: 1, Column: 1},
		}),
	}
}

// TestAYesIsForWhatWasShown: for that content, and what it asks for.
//
// Risk remote include: a remote stack that was allowed becomes another, or mounts something else by a variable; a lock file that others have written is taken over
// Held: the yes is for the digest and what it asks for, is the user's own, and nothing of the project's directory says it
func TestAYesIsForWhatWasShown(t *testing.T) {
	ledger := LedgerIn(map[string]string{"HOME": t.TempDir()})
	wishes := Wishes(stack("sha256:a", "/etc"))
	if len(wishes) != 1 || len(wishes[0].Requests) != 2 || wishes[0].Requests[1].Kind != RemoteValues {
		t.Fatalf("wishes are %v", wishes)
	}
	if len(ledger.New(wishes)) != 1 {
		t.Error("it is allowed without a yes")
	}
	if err := ledger.Keep(wishes); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		digest, source string
		fresh          int
	}{{"sha256:a", "/etc", 0}, {"sha256:b", "/etc", 1}, {"sha256:a", "/root", 1}, {"sha256:a", "/cache/sha256:a/conf", 0}} {
		if got := ledger.New(Wishes(stack(c.digest, c.source))); len(got) != c.fresh {
			t.Errorf("%s of %s: %d are new, want %d", c.source, c.digest, len(got), c.fresh)
		}
	}
	if info, err := os.Stat(ledger.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v: %v", info, err)
	}
	nowhere := LedgerIn(nil)
	if len(nowhere.New(wishes)) != 1 || nowhere.Keep(wishes) != nil || len(nowhere.New(wishes)) != 0 || len(LedgerIn(nil).New(wishes)) != 1 {
		t.Error("without a home a yes is forgotten at once, or kept for ever")
	}
	if got := LedgerIn(map[string]string{"HOME": "/h", "XDG_STATE_HOME": "/s"}).path; got != filepath.Join("/s", "orlop", "allowed") {
		t.Errorf("it is %s", got)
	}
}

// TestAWishSteersNoTerminal: all that it shows is somebody else's text.
//
// Risk remote include: the list that is to be allowed has control sequences, or marks that turn the direction of text, and shows something else
// Held: no field of it, and no name, has any
func TestAWishSteersNoTerminal(t *testing.T) {
	const evil = "x\x1b[2J\nnothing\tis\u202easked\u2028for\u200b\u009b2J\r"
	at := spec.Place{File: evil, Line: 1, Column: 1}
	w := Wish{Remote: &spec.Remote{Name: evil, Digest: evil}, Requests: []privilege.Request{
		{Kind: privilege.Kind(evil), Path: evil, Value: evil, Text: evil, Place: at}, {Kind: privilege.HostMount, Path: evil, Value: evil, Text: evil},
	}}
	for _, text := range []string{w.String(), Wishes(stack("sha256:a", evil))[0].String()} {
		if strings.Count(text, "\n") != 3 || strings.ContainsAny(text, "\x1b\t\r\u202e\u2028\u200b\u009b") {
			t.Errorf("it is %q", text)
		}
	}
	p := stack("sha256:a", "/etc")
	p.Volumes = map[string]*spec.Volume{"v": {DriverOpts: map[string]string{"type": evil, "o": "x", "device": ":/x"}}}
	if text, err := Text(p, ""); err != nil || strings.Count(text, "\n") != 4 || strings.ContainsAny(text, "\x1b\u202e") {
		t.Errorf("it is %q, %v", text, err)
	}
}
