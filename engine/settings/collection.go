package settings

import (
	"errors"
	"fmt"
	"time"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/size"
	"github.com/orlop/orlop/spec/yamlfile"
)

// Collection says what is removed when nobody uses it. The zero value keeps all.
type Collection struct {
	Images Rule `yaml:"images"` // that no container, stack, instance, scheduled job or build uses
	Cache  Rule `yaml:"cache"`  // what builds have left for the next ones
}

// Rule says when something is removed.
type Rule struct {
	UnusedForText string `yaml:"unused_for"`
	KeepText      string `yaml:"keep"`

	UnusedFor time.Duration `yaml:"-"` // after so long without use; 0: however long
	Keep      int64         `yaml:"-"` // what was used last stays up to so many bytes; 0: any
}

// IsSet says that something is removed at all.
func (r Rule) IsSet() bool { return r.UnusedFor > 0 || r.Keep > 0 }

// check reads the texts. Of a rule with a mistake nothing holds: it would remove what it was not to.
func (c *Collection) check(at *yamlfile.File) error {
	return errors.Join(c.Images.check(at, "images"), c.Cache.check(at, "cache"))
}

func (r *Rule) check(at *yamlfile.File, of string) error {
	var errs []error
	if r.UnusedForText != "" {
		d, ok := spec.ParseDuration(r.UnusedForText)
		if r.UnusedFor = time.Duration(d); !ok || d <= 0 {
			errs = append(errs, fmt.Errorf("%s: gc.%s.unused_for: %q is not a duration: write one such as 720h", at.At("gc", of, "unused_for"), of, r.UnusedForText))
		}
	}
	if r.KeepText != "" {
		bytes, ok := size.Parse(r.KeepText)
		if r.Keep = bytes; !ok || bytes <= 0 {
			errs = append(errs, fmt.Errorf("%s: gc.%s.keep: %q is not a size: write one such as 40gb", at.At("gc", of, "keep"), of, r.KeepText))
		}
	}
	if len(errs) > 0 {
		r.UnusedFor, r.Keep = 0, 0
	}
	return errors.Join(errs...)
}
