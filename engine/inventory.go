package engine

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/runner/inventory"
	"github.com/orlop/orlop/spec"
)

// Volumes lists the volumes that are here.
func (s *server) Volumes(context.Context, *api.VolumesRequest) (*api.VolumesReply, error) {
	reply := &api.VolumesReply{}
	for _, v := range s.runner.Inventory().Volumes() {
		reply.Volumes = append(reply.Volumes, volumeInfo(v))
	}
	return reply, nil
}

func volumeInfo(v inventory.Volume) *api.VolumeInfo {
	return &api.VolumeInfo{
		Name: v.Name, Project: v.Project, Key: v.Key, Labels: v.Labels, Path: v.Path, CreatedUnixMs: v.Created.UnixMilli(),
		Anonymous: v.Anonymous, Users: v.Users,
	}
}

// CreateVolume makes a volume that belongs to no project.
func (s *server) CreateVolume(_ context.Context, req *api.VolumeInfo) (*api.VolumeInfo, error) {
	if err := s.runner.Inventory().CreateVolume(req.Name, req.Labels); err != nil {
		return nil, err
	}
	for _, v := range s.runner.Inventory().Volumes() {
		if v.Name == req.Name {
			return volumeInfo(v), s.store.Flush()
		}
	}
	return nil, fmt.Errorf("volume %s was removed meanwhile", req.Name)
}

// RemoveVolume removes a volume with its data.
func (s *server) RemoveVolume(_ context.Context, req *api.RemoveVolumeRequest) (*api.RemoveVolumeReply, error) {
	there, err := s.runner.Inventory().RemoveVolume(req.Name)
	if err != nil {
		return nil, err
	}
	return &api.RemoveVolumeReply{Absent: !there}, s.store.Flush()
}

// Networks lists the networks that are here.
func (s *server) Networks(context.Context, *api.NetworksRequest) (*api.NetworksReply, error) {
	list, err := s.runner.Inventory().Networks()
	if err != nil {
		return nil, err
	}
	reply := &api.NetworksReply{}
	for _, n := range list {
		info := &api.NetworkInfo{
			Name: n.Name, Project: n.Project, Key: n.Key, Labels: n.Labels, Subnet: n.Subnet, Gateway: n.Gateway,
			IpRange: n.IPRange, Subnet6: n.Subnet6, Gateway6: n.Gateway6, IpRange6: n.IPRange6, Internal: n.Internal, Driver: n.Driver, Version: n.Version,
		}
		for _, u := range n.Users {
			info.Users = append(info.Users, &api.NetworkUser{Id: u.ID, Name: u.Name, Address: u.Address, Address6: u.Address6})
		}
		reply.Networks = append(reply.Networks, info)
	}
	return reply, nil
}

// CreateNetwork makes a network that belongs to no project.
func (s *server) CreateNetwork(ctx context.Context, req *api.NetworkInfo) (*api.NetworkInfo, error) {
	want := &spec.Network{Name: req.Name, Internal: req.Internal, Labels: req.Labels, EnableIPv6: &req.Ipv6}
	if req.NoIpv4 {
		want.EnableIPv4 = new(bool)
	}
	for _, pool := range []spec.IPAMPool{{Subnet: req.Subnet, Gateway: req.Gateway, IPRange: req.IpRange}, {Subnet: req.Subnet6, Gateway: req.Gateway6, IPRange: req.IpRange6}} {
		if err := checkPool(pool); err != nil {
			return nil, err
		}
		if pool.Subnet != "" {
			want.IPAM = &spec.IPAM{Config: append(want.Pools(), pool)}
		}
	}
	if err := s.runner.Inventory().CreateNetwork(context.WithoutCancel(ctx), want); err != nil {
		return nil, err
	}
	return req, s.store.Flush()
}

// checkPool checks the addresses that a network is asked to have.
func checkPool(p spec.IPAMPool) error {
	if p.Subnet == "" {
		if p.Gateway != "" || p.IPRange != "" {
			return fmt.Errorf("a gateway or a range needs a subnet that it is part of: add --subnet")
		}
		return nil
	}
	subnet, err := netip.ParsePrefix(p.Subnet)
	if err != nil || subnet != subnet.Masked() {
		return fmt.Errorf("--subnet is %q: it must be a subnet such as 10.77.0.0/24", p.Subnet)
	}
	if gateway, err := netip.ParseAddr(p.Gateway); p.Gateway != "" && (err != nil || !subnet.Contains(gateway)) {
		return fmt.Errorf("--gateway is %q: it must be an address of %s", p.Gateway, subnet)
	}
	if within, err := netip.ParsePrefix(p.IPRange); p.IPRange != "" && (err != nil || !subnet.Contains(within.Addr()) || within.Bits() < subnet.Bits()) {
		return fmt.Errorf("--ip-range is %q: it must be a part of %s", p.IPRange, subnet)
	}
	return nil
}

// RemoveNetwork removes a network that nothing is attached to.
func (s *server) RemoveNetwork(ctx context.Context, req *api.RemoveNetworkRequest) (*api.RemoveNetworkReply, error) {
	there, err := s.runner.Inventory().RemoveNetwork(context.WithoutCancel(ctx), req.Name)
	if err != nil {
		return nil, err
	}
	return &api.RemoveNetworkReply{Absent: !there}, s.store.Flush()
}
