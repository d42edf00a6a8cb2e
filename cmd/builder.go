package cmd

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/orlop/orlop/builder"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// Builder is what the command needs of package builder.
type Builder interface {
	// Check says what the builds of the named services lack on this machine;
	// mistakes of the stack file are a *spec.Mistakes.
	Check(project *spec.Project, services []string) error
	// Inputs are the fingerprints of the builds of the named services.
	Inputs(ctx context.Context, project *spec.Project, opts BuildOptions) (map[string]*planner.Inputs, error)
	// Open prepares to lend the engine what builds and pulls take from the
	// caller: contexts, secrets, agent, credentials.
	Open(ctx context.Context, project *spec.Project, opts BuildOptions) (BuildSession, error)
}

// BuildSession is a build session, connected for the services that need it.
type BuildSession interface {
	IDs() map[string]string
	Connect(conn *grpc.ClientConn, services ...string) error
	Close()
}

// lend connects the build sessions that a plan needs.
func lend(session BuildSession, conn *grpc.ClientConn) func(*planner.Plan) error {
	return func(p *planner.Plan) error {
		for _, s := range p.Steps {
			name := s.Service
			switch s.Action {
			case planner.Build:
			case planner.Pull:
				name = ""
			default:
				continue
			}
			if err := session.Connect(conn, name); err != nil {
				return err
			}
		}
		return nil
	}
}

// Sessions is the Builder of package builder.
type Sessions struct{}

// Check looks for contexts and Dockerfiles.
func (Sessions) Check(p *spec.Project, services []string) error { return builder.Check(p, services) }

// Inputs computes fingerprints.
func (Sessions) Inputs(ctx context.Context, p *spec.Project, opts BuildOptions) (map[string]*planner.Inputs, error) {
	return builder.Inputs(ctx, p, opts.Services, opts.forBuilder())
}

// Open prepares sessions.
func (Sessions) Open(ctx context.Context, p *spec.Project, opts BuildOptions) (BuildSession, error) {
	return builder.NewSession(ctx, p, opts.Services)
}

func (o BuildOptions) forBuilder() builder.Options {
	out := builder.Options{NoCache: o.NoCache, Pull: o.Pull, Args: map[string]string{}}
	for k, v := range o.Args {
		if v != nil {
			out.Args[k] = *v
		}
	}
	return out
}

// BuildOptions narrow or sharpen builds.
type BuildOptions struct {
	Services []string           `json:"-"`                  // to build; empty: all
	Args     map[string]*string `json:"args,omitempty"`     // override the stack file's
	NoCache  bool               `json:"no_cache,omitempty"` // run every step anew
	Pull     bool               `json:"pull,omitempty"`     // resolve base images anew
	Environ  map[string]string  `json:"-"`                  // the caller's environment

	CacheTo   []builder.Cache `json:"cache_to,omitempty"` // places outside of the engine
	CacheFrom []builder.Cache `json:"cache_from,omitempty"`
}

// buildArgs reads --build-arg NAME=value, or NAME for the value that the stack file sees.
func (a *app) buildArgs(flags []string) (map[string]*string, error) {
	args := map[string]*string{}
	for _, f := range flags {
		name, value, set := strings.Cut(f, "=")
		if name == "" {
			return nil, fmt.Errorf("--build-arg is %q: it must be NAME=value", f)
		}
		if !set {
			var known bool
			if value, known = a.variables()[name]; !known {
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

// caches reads the flags into options of builds.
func (a *app) caches(f cacheFlags, o *BuildOptions) error {
	dir, err := filepath.Abs(a.world.Dir) // the engine has a directory of its own
	if err != nil {
		return err
	}
	for _, list := range []struct {
		flag string
		to   bool
		from []string
		into *[]builder.Cache
	}{{"cache-to", true, f.to, &o.CacheTo}, {"cache-from", false, f.from, &o.CacheFrom}} {
		for _, value := range list.from {
			c, err := builder.ParseCache(value, list.to, dir, a.env)
			if err != nil {
				return fmt.Errorf("--%s is %w", list.flag, err)
			}
			*list.into = append(*list.into, c)
		}
	}
	return nil
}
