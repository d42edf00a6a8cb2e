// Package containers is the API of containers one by one, whatever project they are of.
package containers

import (
	"context"
	"encoding/json"
	"fmt"

	containerd "github.com/containerd/containerd/v2/client"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/inventory"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/runner/wiring"
)

// Runner has the containers.
type Runner interface {
	// Containers are those of a project; "" is all of them.
	Containers(project string) []planner.Container
	Inventory() *inventory.Inventory
	Wiring() *wiring.Wiring
}

// Server is the API of a runner's containers.
type Server struct {
	api.UnimplementedContainersServer
	Runner Runner
	Images *image.Store
	Client *containerd.Client
	LogDir func(id string) string
	Flush  func() error // has what is on record outlive a loss of power
}

// List implements api.ContainersServer.
func (s *Server) List(context.Context, *api.ListContainersRequest) (*api.ListContainersReply, error) {
	of := s.documents()
	reply := &api.ListContainersReply{}
	for _, rec := range s.Runner.Inventory().Records() {
		c, ok := of[rec.ID]
		if !ok {
			continue // it is being made
		}
		one, err := listed(&rec, &c)
		if err != nil {
			return nil, err
		}
		reply.Containers = append(reply.Containers, one)
	}
	return reply, nil
}

func (s *Server) documents() map[string]planner.Container {
	of := map[string]planner.Container{}
	for _, c := range s.Runner.Containers("") {
		of[c.ID] = c
	}
	return of
}

func listed(rec *supervisor.Record, c *planner.Container) (*api.ListedContainer, error) {
	doc, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("internal error: cannot encode container %s: %w", rec.Name, err)
	}
	return &api.ListedContainer{Project: rec.Project, Document: doc}, nil
}

// Inspect implements api.ContainersServer.
func (s *Server) Inspect(ctx context.Context, r *api.InspectContainerRequest) (*api.ContainerDetails, error) {
	for _, rec := range s.Runner.Inventory().Records() {
		if rec.ID != r.Id {
			continue
		}
		if c, ok := s.documents()[rec.ID]; ok {
			return s.inspect(ctx, &rec, &c)
		}
	}
	return nil, fmt.Errorf("container %s is not here any more", r.Id)
}

func (s *Server) inspect(ctx context.Context, rec *supervisor.Record, c *planner.Container) (*api.ContainerDetails, error) {
	one, err := listed(rec, c)
	if err != nil {
		return nil, err
	}
	ctr, err := s.Client.LoadContainer(ctx, rec.ID)
	if err != nil {
		return nil, fmt.Errorf("cannot read container %s: %w", rec.Name, err)
	}
	info, err := ctr.Info(ctx, containerd.WithoutRefreshedMetadata)
	if err != nil {
		return nil, fmt.Errorf("cannot read container %s: %w", rec.Name, err)
	}
	inv := s.Runner.Inventory()
	out := &api.ContainerDetails{
		Container: one, RuntimeSpec: info.Spec.GetValue(), Labels: info.Labels, StopSignal: rec.StopSignal, Terminal: rec.Terminal, Stdin: rec.Stdin,
		AutoRemove: rec.AutoRemove, LogDir: s.LogDir(rec.ID), AnonymousVolumes: rec.Anonymous, VolumePaths: inv.VolumePaths(rec), Image: rec.Image,
	}
	for _, e := range inv.Endpoints(rec) {
		out.Endpoints = append(out.Endpoints, &api.ContainerEndpoint{
			Network: e.Network, Address: e.Address, Address6: e.Address6, Gateway: e.Gateway, Gateway6: e.Gateway6,
		})
	}
	if details, err := s.Images.Details(ctx, rec.Applied.Image, rec.Applied.Service.Platform); err == nil { // an image may be removed under its containers
		out.ImageConfig = details.Config
	}
	return out, nil
}
