package stackfile

import (
	"context"
	"maps"
	"path/filepath"
	"testing"
)

// TestLoggingOfLaterFiles holds that options of one driver are merged, and that another
// driver brings its own.
func TestLoggingOfLaterFiles(t *testing.T) {
	for _, test := range []struct {
		name, over, driver string
		options            map[string]string
	}{
		{"the same", "{driver: syslog, options: {tag: x}}", "syslog", map[string]string{"tag": "x", "syslog-facility": "1"}},
		{"no driver", "{options: {tag: x}}", "syslog", map[string]string{"tag": "x", "syslog-facility": "1"}},
		{"another", "{driver: json-file, options: {max-size: 1m, max-file: 3}}", "json-file", map[string]string{"max-size": "1m", "max-file": "3"}},
		{"none", "{driver: none}", "none", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			first, second := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")
			write(t, first, "services: {a: {image: a, logging: {driver: syslog, options: {syslog-facility: '1'}}}}")
			write(t, second, "services: {a: {logging: "+test.over+"}}")
			p, diagnostics, err := Load(context.Background(), Options{Dir: dir, Name: "p", Files: []string{first, second}})
			if err != nil {
				t.Fatal(err, diagnostics)
			}
			l := p.Services["a"].Logging
			if l.Driver != test.driver || !maps.Equal(l.Options, test.options) {
				t.Errorf("%+v, want %s %v", l, test.driver, test.options)
			}
		})
	}
}
