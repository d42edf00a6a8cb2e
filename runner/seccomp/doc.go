// Package seccomp compiles seccomp rules to a filter for the kernel. It stands in
// for libseccomp and its Go binding (go.mod replaces github.com/seccomp/libseccomp-golang
// by it), has as much of the binding's interface as runc's libcontainer uses, and
// gives every system call the verdict that libseccomp's filter gives it: ./reference
// holds that. It needs no C and takes a hundredth of libseccomp's time, which every
// container, exec, health check and RUN step pays (docs/adr/one-compiled-filter.md).
//
// It must not know anything of ours: it is a module of its own, as what it stands in for.
package seccomp
