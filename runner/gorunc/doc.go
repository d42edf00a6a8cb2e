// Package runc stands before containerd's go-runc, under its name: go.mod
// replaces that by this module. It has go-runc's whole interface, and passes
// each call on to it, which starts a runc process, unless the program that
// links it has set Within: then those calls by which a container is made, begun,
// entered, signalled, frozen and deleted are carried out in the calling process.
//
// So containerd's code for shims serves a shim that needs no runc processes.
package runc
