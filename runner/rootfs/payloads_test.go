package rootfs

import "testing"

// TestAProjectThatIsGoneLeavesNoSecret: neither by its name nor in memory that
// another holds.
func TestAProjectThatIsGoneLeavesNoSecret(t *testing.T) {
	p, none := NewPayloads(), func() [][]byte { return nil }
	content := []byte("canary")
	p.Set("shop", map[string][]byte{"secrets.key": content, "configs.motd": []byte("hello")}, none)
	p.Set("shop", map[string][]byte{"secrets.other": []byte("another")}, none)
	p.Set("blog", map[string][]byte{"secrets.key": []byte("of the blog")}, none)
	if got := p.Mask("shop", none).Text("canary, another, hello, of the blog"); got != "***, ***, hello, of the blog" {
		t.Errorf("the mask shows %q", got)
	}
	p.Forget("shop")
	if _, ok := p.Content("shop", "secrets.key"); ok || string(content) == "canary" {
		t.Errorf("the secret is there: %q", content)
	}
	if b, ok := p.Content("blog", "secrets.key"); !ok || string(b) != "of the blog" {
		t.Errorf("another project's is %q", b)
	}
	p.Forget("shop") // once more is once
	p.Set("shop", map[string][]byte{"secrets.key": []byte("a new one")}, none)
	if b, ok := p.Content("shop", "secrets.key"); !ok || string(b) != "a new one" {
		t.Errorf("a project of the same name has %q", b)
	}
}

// What the containers of a project were given by an engine before this one is
// hidden, too; they are asked once.
func TestSecretsOfAnEngineBeforeAreHidden(t *testing.T) {
	p := NewPayloads()
	asked := 0
	given := func() [][]byte { asked++; return [][]byte{[]byte("oldest"), nil} }
	if got := p.Mask("shop", given).Text("the oldest secret"); got != "the *** secret" {
		t.Errorf("the mask shows %q", got)
	}
	p.Set("shop", map[string][]byte{"secrets.key": []byte("newest")}, given)
	if got := p.Mask("shop", given).Text("oldest, newest"); got != "***, ***" || asked != 1 {
		t.Errorf("the mask shows %q, asked %d times", got, asked)
	}
	for key, want := range map[string]bool{"secrets.key": true, "configs.key": false, "key": false} {
		if IsSecret(key) != want {
			t.Errorf("%s is a secret: %t", key, !want)
		}
	}
}
