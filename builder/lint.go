package builder

import (
	"context"
	"encoding/json"
	"fmt"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client/buildid"
	gatewayapi "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/identity"

	"github.com/orlop/orlop/spec"
)

// findings are what the Dockerfile frontend answers to the request "frontend.lint".
type findings struct {
	Warnings []finding `json:"warnings"`
	Error    *struct {
		Message string `json:"message"`
	} `json:"buildError"`
}

type finding struct {
	Rule     string `json:"ruleName"`
	Detail   string `json:"detail"`
	URL      string `json:"url"`
	Location struct {
		Ranges []struct {
			Start struct {
				Line int `json:"line"`
			} `json:"start"`
		} `json:"ranges"`
	} `json:"location"`
}

// Check has the frontend look for mistakes in a Dockerfile, and builds nothing. Warnings
// are a *Failure that lists them.
func (b *Builder) Check(ctx context.Context, req Request) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req.Build = req.Options.Over.Build(req.Build)
	ref, opened := identity.NewID(), make(chan error, 1)
	go func() { // it is there for the request, until it is called off
		_, err := b.control.Solve(ctx, &controlapi.SolveRequest{Ref: ref, Session: req.Session})
		opened <- err
	}()
	attrs := attributes(req, nil)
	attrs["requestid"] = "frontend.lint"
	res, err := b.bridge.Solve(buildid.AppendToOutgoingContext(ctx, ref), &gatewayapi.SolveRequest{
		Frontend: "dockerfile.v0", FrontendOpt: attrs, AllowResultReturn: true, AllowResultArrayRef: true,
	})
	cancel()
	<-opened
	if err != nil {
		return b.failure(context.WithoutCancel(ctx), req, err, newWatch(nil, req.Mask))
	}
	var found findings
	if err := json.Unmarshal(res.GetResult().GetMetadata()["result.json"], &found); err != nil {
		return fmt.Errorf("cannot read what BuildKit found in the Dockerfile: %w", err)
	}
	return found.failure(dockerfileBase(req.Build))
}

// failure is what was found, in words; nil where that is nothing.
func (f *findings) failure(file string) error {
	if len(f.Warnings) == 0 && f.Error == nil {
		return nil
	}
	out := &Failure{Cause: spec.Plural(len(f.Warnings), "warning") + " of the Dockerfile"}
	for _, w := range f.Warnings {
		at := file
		if len(w.Location.Ranges) > 0 {
			at = fmt.Sprintf("%s:%d", file, w.Location.Ranges[0].Start.Line)
		}
		line := fmt.Sprintf("%s: %s: %s", at, w.Rule, w.Detail)
		if w.URL != "" {
			line += " (" + w.URL + ")"
		}
		out.Output = append(out.Output, line)
	}
	if f.Error != nil {
		out.Cause = f.Error.Message
	}
	return out
}
