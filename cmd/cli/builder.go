package cli

import (
	"context"
	"slices"

	"google.golang.org/grpc"

	"github.com/orlop/orlop/api"
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
	s, err := builder.NewSession(ctx, opts.Over.Project(p), opts.Services)
	if err != nil {
		return nil, err
	}
	s.Plain = func(ctx context.Context, engine *grpc.ClientConn, host string) bool {
		status, err := api.NewEngineClient(engine).Status(ctx, &api.StatusRequest{})
		return err == nil && slices.Contains(status.PlainRegistries, host)
	}
	return s, nil
}

func (o BuildOptions) forBuilder() builder.Options {
	out := builder.Options{NoCache: o.NoCache, Pull: o.Pull, Args: map[string]string{}, Tell: o.Tell, Epoch: o.Epoch, Over: o.Over}
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
	Tell     func(text string)  `json:"-"`                  // is told how far it is what takes long

	CacheTo   []builder.Cache `json:"cache_to,omitempty"` // places outside of the engine
	CacheFrom []builder.Cache `json:"cache_from,omitempty"`
	Epoch     string          `json:"epoch,omitempty"` // SOURCE_DATE_EPOCH of the caller's environment
	Over      builder.Over    `json:"over,omitzero"`
	Check     bool            `json:"check,omitempty"` // look for mistakes in Dockerfiles, and build nothing
}
