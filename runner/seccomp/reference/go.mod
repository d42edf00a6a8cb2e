module github.com/orlop/orlop/runner/seccomp/reference

go 1.26.8

require (
	github.com/moby/profiles/seccomp v0.3.0
	github.com/opencontainers/runtime-spec v1.3.0
	github.com/orlop/orlop/runner/seccomp v0.0.0-00010101000000-000000000000
	github.com/seccomp/libseccomp-golang v0.12.0
)

require golang.org/x/sys v0.48.0 // indirect

replace github.com/orlop/orlop/runner/seccomp => ../
