package plain

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec/tree"

	"gopkg.in/yaml.v3"
)

// compare holds a text against yaml.v3: what is known here must be known there, as one
// document of the same nodes.
func compare(t *testing.T, text []byte) (isKnown bool) {
	t.Helper()
	got, ok := Parse("f", text)
	if !ok {
		return false
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var want, more yaml.Node
	if err := decoder.Decode(&want); err != nil {
		t.Fatalf("yaml.v3 refuses the text: %v\n%s", err, text)
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		t.Fatalf("yaml.v3 finds more than one document (%v)\n%s", err, text)
	}
	of := Of("f", &want)[0]
	if g, w := dump(got.Root, 0), dump(of.Root, 0); g != w || got.HasAliases != of.HasAliases {
		t.Fatalf("got\n%s\nwant\n%s\nof\n%s", g, w, text)
	}
	return true
}

// dump is all of a tree.
func dump(n *tree.Node, depth int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s kind %d tag %s merge %d width %d text %q\n", n.At, n.Kind, n.Tag, n.Merge, n.Width, n.Text)
	if n.Kind == tree.AliasNode {
		fmt.Fprintf(&b, "alias of %s\n", n.Items[0].At)
		return b.String()
	}
	blank := strings.Repeat(" ", depth)
	for _, f := range n.Fields {
		fmt.Fprintf(&b, "%s%s key %q width %d: %s", blank, f.At, f.Key, f.Width, dump(f.Value, depth+1))
	}
	for _, item := range n.Items {
		b.WriteString(blank + "- " + dump(item, depth+1))
	}
	return b.String()
}

var known = []string{
	"a: b\n", "a: b", "a:\n", "a:", "a:\n  b: c\n  d:\ne: f\n", "a:\n- b\n- c\nd: e\n", "a:\n  - b\n  -\n  - c: d\n    e: f\n", "- a\n- b: c\n",
	"# first\n\na: b # second\n  # third\nc: 'd' # fourth\n", "a: \"b: # c\"\n\"d e\": 'f'\n", "a: [b, \"c\", 'd', 1, [], {}]\n", "a: {b: c, \"d\": [e, f]}\n",
	"a: 1\nb: 1.5\nc: true\nd: null\ne: ~\nf: 0x10\ng: 2001-01-01\nh: yes\ni: -1\nj: .inf\nk: 1_000\n", "a: b:c\nd: http://x/y#z\n", "a: $X ${Y:-z}\n",
	"x: &a\n  b: c\ny:\n  <<: *a\n  d: *a\n", "x: &a\n  - b\ny: [c]\nz: *a\n", "a: |\n  b\n    c\n\n  d\n\ne: f\n", "a: |-\n  b\n  c\n# d\n", "- |\n  a\n- b\n",
	"on: 1\n1: 2\nnull: 3\n", "a: {b: c:d, e: \"\"}\n", "a: -x\nb: --flag=1\n", "-\n  a: b\n-\n  - c\n", "a:   b   \nc:    # d\n  e: f\n",
	"\u00fc: \u00e9 # \u4e16\n\u00e4b: &x\n  c\u754c: [\u00fc, \"\u00e9\u00e9\", b]\nd: {\u00fc: 1, e: \u4e16\u754c}\n\u00f6:\ne: *x\nf\u00fc: |\n  \u00e9\n", "\u00f6:\n\u00fc\u00fc: \U0001f600 x\n", "\u00fc:\n        a: b\n", "- \u00fc: a\n  \u00e9\u00e9: [\u00fc, b]\n",
}

var unknown = []string{
	"", "# only\n", "a", "- - a\n", "a: b\n c\n", "a: >\n  b\n", "--- \na: b\n", "a: b\n---\nc: d\n", "a: \"b\\n\"\n", "a: 'it''s'\n", "a: [b,\n  c]\n", "? a\n: b\n",
	"a: !t b\n", "a: @b\n", "a: b: c\n", "a\t: b\n", "a: *b\n", "a: {b}\n", "a: [b: c]\n", "a: b\u2028c\n", "a: \ufeffb\n", "a: \x80\n", "a: \u0085\n", "\ufeffa: b\n", "a: b\r\n", "a: [b,]\n", "a: 1\n- b\n", "a:\n   b: c\n  d: e\n",
	"a: |2\n   b\n", "a: |+\n  b\n", "a: |\n\n  b\n", "a: %b\n", "a: 'b' c\n", "a : b\n", "'a' : b\n", "a: \"b\"#c\n", "a: [b] c\n", "a: `b`\n", "%YAML 1.1\n",
}

func TestWhatIsKnownIsAsYAMLSays(t *testing.T) {
	for _, text := range known {
		if !compare(t, []byte(text)) {
			t.Errorf("not known: %q", text)
		}
	}
}

// TestAWideLineIsCountedOnce: a line's characters are counted on from where they were
// counted to, whatever stands in it.
func TestAWideLineIsCountedOnce(t *testing.T) {
	for _, text := range []string{
		"a: [" + strings.Repeat("é,", 5000) + "é]\n", "a: {" + strings.Repeat("é: 'é', ", 5000) + "é: é}\n", "a: [" + strings.Repeat("[é, ü],", 5000) + "é] # é\n",
		strings.Repeat("é: é\n", 1) + "b:\n" + strings.Repeat("- é: é\n  ü: [é]\n", 5000), strings.Repeat("é", 300) + ": " + strings.Repeat("é", 5000) + "\n",
	} {
		p := &parser{text: text, isWide: true}
		if p.advance(); p.block(0) == nil || p.foreign {
			t.Fatalf("not known: %.40q", text)
		}
		if p.counted > 3*len(text) {
			t.Errorf("%d bytes are counted of %d of %.40q", p.counted, len(text), text)
		}
		if len(text) < 30_000 && !compare(t, []byte(text)) {
			t.Errorf("not known: %.40q", text)
		}
	}
}

func TestTheRestIsLeft(t *testing.T) {
	for _, text := range unknown {
		if compare(t, []byte(text)) {
			t.Errorf("known: %q", text)
		}
	}
}

func TestStackFilesAreAsYAMLSays(t *testing.T) {
	files, isKnown := 0, 0
	for _, root := range []string{"../..", os.Getenv("ORLOP_CORPUS")} {
		if root == "" {
			continue
		}
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.Contains(".yaml.yml", filepath.Ext(path)) || filepath.Ext(path) == "" {
				return err
			}
			text, err := os.ReadFile(path)
			if err == nil {
				files++
				if compare(t, text) {
					isKnown++
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d files are known", isKnown, files)
	if isKnown < files/3 {
		t.Errorf("%d of %d files are known: most should be", isKnown, files)
	}
}

func FuzzAsYAMLSays(f *testing.F) {
	for _, text := range append(known, unknown...) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) { compare(t, text) })
}

// TestAKeyMayHaveAName: an alias may name a key, or what stands in one that is no text.
func TestAKeyMayHaveAName(t *testing.T) {
	for text, want := range map[string]string{"&k a: b\nc: *k\n": "a", "? {a: &k b}\n: c\nd: *k\n": "b", "? [&k b]\n: c\nd: *k\n": "b", "a: &k b\nc: *k\n": "b"} {
		var n yaml.Node
		if err := yaml.Unmarshal([]byte(text), &n); err != nil {
			t.Fatal(err)
		}
		d := Of("f", &n)[0]
		alias := d.Root.Fields[1].Value
		if !d.HasAliases || alias.Kind != tree.AliasNode || len(alias.Items) != 1 || alias.Items[0].Text != want {
			t.Errorf("%q: got %s", text, dump(d.Root, 0))
		}
	}
}
