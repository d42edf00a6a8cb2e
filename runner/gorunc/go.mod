module github.com/orlop/orlop/runner/gorunc

go 1.26.8

require (
	github.com/opencontainers/runtime-spec v1.3.0
	github.com/orlop/go-runc v1.2.1
)

require (
	github.com/containerd/console v1.0.5 // indirect
	golang.org/x/sys v0.1.0 // indirect
)

// containerd's own, which this module stands before under its name.
replace github.com/orlop/go-runc => github.com/containerd/go-runc v1.2.1
