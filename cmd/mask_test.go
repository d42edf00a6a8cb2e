package cmd

import (
	"bytes"
	"strings"
	"testing"

	"github.com/orlop/orlop/cmd/junit"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/secret"
)

func secretsOf(contents ...string) *spec.Project {
	p := &spec.Project{Payloads: map[string]spec.Payload{"configs.open": {Content: []byte("not hidden")}}}
	for i, c := range contents {
		p.Payloads["secrets."+string(rune('a'+i))] = spec.Payload{Content: []byte(c), Secret: true}
	}
	return p
}

// TestSecretsOfReportsAreHidden has a secret that XML escapes in each text.
func TestSecretsOfReportsAreHidden(t *testing.T) {
	const content, inXML = `p&ss<word`, `p&amp;ss&lt;word`
	text := strings.ReplaceAll(`<testsuites name="S"><testsuite name="S" hostname="S"><properties><property name="S" value="S"/></properties>`+
		`<testcase classname="S" name="S"><failure message="S" type="S">S</failure><system-out>S</system-out><system-err><![CDATA[C]]></system-err></testcase>`+
		`<system-out>S</system-out><system-err>S</system-err></testsuite></testsuites>`, "S", inXML)
	text = strings.Replace(text, "[C]", "["+content+"]", 1)
	r, err := junit.Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	m := &secret.Mask{}
	m.Add([]byte(content))
	maskReport(m, r)
	var out strings.Builder
	if err := r.Write(&out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Contains(got, inXML) || strings.Count(got, secret.Hidden) < 12 {
		t.Errorf("the report is %s", got)
	}
}

// TestAReloadForgetsNoSecret has a secret change beside what goes on: what
// runs still has the old one. A config is nobody's secret.
func TestAReloadForgetsNoSecret(t *testing.T) {
	var out bytes.Buffer
	a := &app{world: World{Stdout: &out, Stderr: &out}}
	a.hideSecrets(secretsOf("the-old-one"))
	a.hideOutput()
	copied := *a
	a.hideSecrets(secretsOf("the-old-one-and-more"))
	for name, mask := range map[string]*secret.Mask{"the command's": a.mask, "a call's that goes on": copied.mask} {
		if got := mask.Text("the-old-one, the-old-one-and-more, not hidden"); got != "***, ***, not hidden" {
			t.Errorf("%s mask gives %q", name, got)
		}
	}
	_, _ = a.world.Stdout.Write([]byte("the-old-one, the-old-one-and-more!"))
	a.endOutput()
	if out.String() != "***, ***!" {
		t.Errorf("what is printed is %q", out.String())
	}
}
