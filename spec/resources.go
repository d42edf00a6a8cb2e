package spec

import "cmp"

// What a service may take, by its own key or by deploy.resources: the loader
// refuses two that differ.

// MemoryLimit is how many bytes each container may take; 0: no limit.
func (s *Service) MemoryLimit() Bytes { return cmp.Or(s.MemLimit, s.limits().Memory) }

// CPULimit is how many cores each container may take; 0: no limit.
func (s *Service) CPULimit() float64 { return cmp.Or(s.CPUs, s.limits().CPUs) }

// MostPids is how many processes each container may have; 0: as by default, less:
// no limit.
func (s *Service) MostPids() int64 { return cmp.Or(s.PidsLimit, s.limits().Pids) }

// MemoryReserved is how many bytes the kernel leaves each container before those of
// others; 0: none.
func (s *Service) MemoryReserved() Bytes {
	if s.Deploy == nil || s.Deploy.Resources == nil || s.Deploy.Resources.Reservations == nil {
		return s.MemReservation
	}
	return cmp.Or(s.MemReservation, s.Deploy.Resources.Reservations.Memory)
}

func (s *Service) limits() ResourceLimits {
	if s.Deploy == nil || s.Deploy.Resources == nil || s.Deploy.Resources.Limits == nil {
		return ResourceLimits{}
	}
	return *s.Deploy.Resources.Limits
}
