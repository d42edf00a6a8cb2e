package runner

import "testing"

// TestAProjectThatIsGoneLeavesNoSecret: neither by its name nor in memory that
// another holds.
func TestAProjectThatIsGoneLeavesNoSecret(t *testing.T) {
	r := &Runner{payloads: map[string]payloads{}}
	content := []byte("canary")
	r.SetPayloads("shop", map[string][]byte{"secrets.key": content, "configs.motd": []byte("hello")})
	r.SetPayloads("shop", map[string][]byte{"secrets.other": []byte("another")})
	r.SetPayloads("blog", map[string][]byte{"secrets.key": []byte("of the blog")})
	if got := r.Mask("shop").Text("canary, another, hello, of the blog"); got != "***, ***, hello, of the blog" {
		t.Errorf("the mask shows %q", got)
	}
	r.ForgetPayloads("shop")
	if _, ok := r.payload("shop", "secrets.key"); ok || string(content) == "canary" {
		t.Errorf("the secret is there: %q", content)
	}
	if b, ok := r.payload("blog", "secrets.key"); !ok || string(b) != "of the blog" {
		t.Errorf("another project's is %q", b)
	}
	r.ForgetPayloads("shop") // once more is once
	r.SetPayloads("shop", map[string][]byte{"secrets.key": []byte("a new one")})
	if b, ok := r.payload("shop", "secrets.key"); !ok || string(b) != "a new one" {
		t.Errorf("a project of the same name has %q", b)
	}
}
