package cmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/builder"
	"github.com/orlop/orlop/cmd/cli"
)

// buildArgs reads --build-arg NAME=value, or NAME for the value that the stack file sees.
func (a *app) buildArgs(ctx context.Context, flags []string) (map[string]*string, error) {
	args := map[string]*string{}
	for _, f := range flags {
		name, value, set := strings.Cut(f, "=")
		if name == "" {
			return nil, fmt.Errorf("--build-arg is %q: it must be NAME=value", f)
		}
		if !set {
			var known bool
			if value, known = a.Variables(ctx)[name]; !known {
				continue
			}
		}
		args[name] = &value
	}
	return args, nil
}

// cacheFlags are --cache-to and --cache-from.
type cacheFlags struct{ to, from []string }

func (f *cacheFlags) flags(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.to, "cache-to", nil, "`PLACE` to write the build cache to, for all services: type=local,dest=DIR, registry, gha, s3, ...")
	c.Flags().StringArrayVar(&f.from, "cache-from", nil, "`PLACE` to read the build cache from: type=local,src=DIR, ...")
}

// read reads the flags into options of builds.
func (f cacheFlags) read(s *cli.Settings, o *cli.BuildOptions) error {
	dir := s.WorkingDir() // the engine has a directory of its own
	for _, list := range []struct {
		flag string
		to   bool
		from []string
		into *[]builder.Cache
	}{{"cache-to", true, f.to, &o.CacheTo}, {"cache-from", false, f.from, &o.CacheFrom}} {
		for _, value := range list.from {
			c, err := builder.ParseCache(value, list.to, dir, s.Env)
			if err != nil {
				return fmt.Errorf("--%s is %w", list.flag, err)
			}
			*list.into = append(*list.into, c)
		}
	}
	return nil
}
