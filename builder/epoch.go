package builder

import (
	"fmt"
	"strconv"

	"github.com/orlop/orlop/spec"
)

// EpochVariable is the build argument, and the variable of the caller's environment,
// that says which time an image is to be of: the same inputs then give the same digest.
const EpochVariable = "SOURCE_DATE_EPOCH"

// withEpoch are options with the caller's time among their arguments, unless those of
// the build or the command say one.
func (o Options) withEpoch(b *spec.Build) (Options, error) {
	_, given := o.Args[EpochVariable]
	if b.Args[EpochVariable] != nil || given || o.Epoch == "" {
		return o, nil
	}
	if _, err := strconv.ParseInt(o.Epoch, 10, 64); err != nil {
		return o, fmt.Errorf("%s is %q, which is no number of seconds", EpochVariable, o.Epoch)
	}
	args := map[string]string{EpochVariable: o.Epoch}
	for name, value := range o.Args {
		args[name] = value
	}
	o.Args = args
	return o, nil
}

// epochOf is the time that an image is to be of, "" if none is said.
func epochOf(req Request) string {
	if value, ok := req.Options.Args[EpochVariable]; ok {
		return value
	}
	if value := req.Build.Args[EpochVariable]; value != nil {
		return *value
	}
	return ""
}
