package spec

import "testing"

func TestAJobMayHaveBeenMeant(t *testing.T) {
	p := &Project{Services: map[string]*Service{"web": {}}, Jobs: map[string]*Service{"migrate": {}, "backup": {}}}
	for name, want := range map[string]string{
		"migrat": `no service named "migrat" (did you mean "migrate"?)`,
		"wev":    `no service named "wev" (did you mean "web"?)`,
		"other":  `no service named "other": the stack has web, and the jobs backup, migrate`,
	} {
		if _, err := p.Select([]string{name}, false); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
