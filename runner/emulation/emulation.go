// Package emulation knows of which platforms a machine runs programs: its own, and
// those that an emulator is registered for with the kernel (binfmt_misc). It registers
// none, and starts nothing.
package emulation

import (
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/platforms"

	"github.com/orlop/orlop/spec"
)

// registry is where the kernel shows what is registered.
const registry = "/proc/sys/fs/binfmt_misc"

// Machine is the platform of this machine.
func Machine() string { return platforms.Format(platforms.Normalize(platforms.DefaultSpec())) }

// Foreign are the services of a project whose containers this machine can't run, with
// the platforms of their images; nil are none.
func Foreign(p *spec.Project) map[string]string { return foreign(p, registry) }

func foreign(p *spec.Project, dir string) map[string]string {
	if p == nil {
		return nil
	}
	var out map[string]string
	var emulated []string
	for name, s := range p.Services {
		platform := s.PlatformOn(Machine())
		if platform == "" {
			continue
		}
		if emulated == nil {
			emulated = append(registered(dir), "") // read once
		}
		if runs(platform, emulated) {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[name] = platform
	}
	return out
}

// runs says whether programs of a platform run here.
func runs(platform string, emulated []string) bool {
	p, err := platforms.Parse(platform)
	if err != nil {
		return false
	}
	return platforms.Default().Match(p) || p.OS == "linux" && slices.Contains(emulated, p.Architecture)
}

// registered are the architectures whose programs an emulator runs. It is one that the
// kernel holds open (the flag F): another one would have to be in each image.
func registered(dir string) (architectures []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	if status, err := os.ReadFile(filepath.Join(dir, "status")); err == nil && strings.TrimSpace(string(status)) != "enabled" {
		return nil
	}
	for _, e := range entries {
		if e.Name() == "register" || e.Name() == "status" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			continue
		}
		if arch := architecture(string(text)); arch != "" {
			architectures = append(architectures, arch)
		}
	}
	return architectures
}

// machines are the numbers that programs have for architectures (ELF, e_machine), by
// the order of their bytes.
var machines = map[bool]map[uint16]string{
	false: {3: "386", 21: "ppc64le", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64", 258: "loong64", 8: "mips64le"},
	true:  {21: "ppc64", 22: "s390x", 8: "mips64"},
}

// architecture is what an entry of the registry stands for; "" if it is no emulator
// that runs programs of containers.
func architecture(entry string) string {
	var flags string
	var magic []byte
	isEnabled := false
	for line := range strings.Lines(entry) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "enabled":
			isEnabled = true
		case "flags:":
			flags = value
		case "magic":
			magic, _ = hex.DecodeString(value) // what is no number is no magic
		}
	}
	const orderAt, machineAt = 5, 18 // in the head of a program
	if !isEnabled || !strings.Contains(flags, "F") || len(magic) < machineAt+2 || string(magic[:4]) != "\x7fELF" {
		return ""
	}
	if magic[orderAt] == 2 {
		return machines[true][binary.BigEndian.Uint16(magic[machineAt:])]
	}
	return machines[false][binary.LittleEndian.Uint16(magic[machineAt:])]
}
