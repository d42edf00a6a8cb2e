package reference

import (
	"testing"

	profiles "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	ours "github.com/orlop/orlop/runner/seccomp"
)

func dockers(b *testing.B) profile {
	b.Helper()
	s, err := profiles.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{}}, Linux: &specs.Linux{}})
	if err != nil {
		b.Fatal(err)
	}
	p := of(s)
	p.archs = []ours.ScmpArch{ours.ArchAMD64, ours.ArchX86}
	return p
}

func BenchmarkOurs(b *testing.B) {
	p := dockers(b)
	for b.Loop() {
		f, _, err := p.ours()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(f)), "instructions")
	}
}

func BenchmarkLibseccomp(b *testing.B) {
	p := dockers(b)
	for b.Loop() {
		f, _, err := p.judges()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(f)), "instructions")
	}
}
