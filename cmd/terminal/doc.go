// Package terminal connects the caller's terminal: to a process inside a
// container (Run), or key by key to the command itself (KeyMode). Whatever ends
// the command, the terminal is given back as it was.
package terminal
