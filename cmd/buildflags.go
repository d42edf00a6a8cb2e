package cmd

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
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

// buildFlags are those of build that say more of the builds than the stack file.
type buildFlags struct {
	ssh, provenance, sbom string
	builder, memory       string
	print, check          bool
	classic               [3]bool // what the builder before BuildKit was told
}

func (f *buildFlags) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.ssh, "ssh", "", "`agent` or key to lend: default, or ID=PATH")
	c.Flags().StringVar(&f.provenance, "provenance", "", "say in the images how they were built: true, false, or mode=max")
	c.Flags().StringVar(&f.sbom, "sbom", "", "list in the images what they consist of: true, false, or generator=IMAGE")
	c.Flags().BoolVar(&f.print, "print", false, "print the builds as a file for docker buildx bake, and build nothing")
	c.Flags().BoolVar(&f.check, "check", false, "look for mistakes in the Dockerfiles, and build nothing")
	c.Flags().StringVar(&f.builder, "builder", "", "`name` of a builder; only default is there, the engine's BuildKit")
	c.Flags().StringVarP(&f.memory, "memory", "m", "", "limit of the memory of builds, which BuildKit does not have")
	c.Flags().BoolVar(&f.classic[0], "compress", false, "compress the context on its way, which is sent once and as it is")
	c.Flags().BoolVar(&f.classic[1], "force-rm", false, "remove intermediate containers, which BuildKit does not have")
	c.Flags().BoolVar(&f.classic[2], "no-rm", false, "keep intermediate containers, which BuildKit does not have")
	hide(c, "builder", "memory", "compress", "force-rm", "no-rm")
}

// read reads the flags into options of builds. What cannot be carried out is refused.
func (f *buildFlags) read(c *cobra.Command, s *cli.Settings, o *cli.BuildOptions) error {
	switch {
	case f.builder != "" && f.builder != "default":
		return fmt.Errorf("--builder is %q: images are built by the BuildKit in the engine, there is no other builder", f.builder)
	case f.memory != "":
		return fmt.Errorf("--memory cannot be carried out: BuildKit does not limit the memory of builds")
	}
	o.Over.Provenance, o.Over.SBOM, o.Check = f.provenance, f.sbom, f.check
	if !c.Flags().Changed("ssh") {
		return nil
	}
	id, path, isPath := strings.Cut(cmp.Or(f.ssh, "default"), "=")
	o.Over.SSH = map[string]*string{id: nil}
	switch {
	case id == "" || isPath && path == "":
		return fmt.Errorf("--ssh is %q: it must be default, or ID=PATH", f.ssh)
	case !isPath:
		return nil
	case !filepath.IsAbs(path):
		path = filepath.Join(s.WorkingDir(), path)
	}
	o.Over.SSH[id] = &path
	return nil
}
