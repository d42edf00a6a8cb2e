package spec

// DefaultRuntime is the OCI runtime that containers are run by unless their service names
// another.
const DefaultRuntime = "runc"

// IsDefaultRuntime says that a name is of the default runtime, in Docker's words or containerd's.
func IsDefaultRuntime(name string) bool {
	return name == DefaultRuntime || name == "io.containerd.runc.v2"
}

// NamedRuntime is the runtime that the service asks for, in Docker's words; "" where it names none.
func (s *Service) NamedRuntime() string {
	if IsDefaultRuntime(s.Runtime) {
		return DefaultRuntime
	}
	return s.Runtime
}

// OtherRuntime is the runtime that the service asks for in place of the default one; else "".
func (s *Service) OtherRuntime() string {
	if IsDefaultRuntime(s.Runtime) {
		return ""
	}
	return s.Runtime
}
