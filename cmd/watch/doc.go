// Package watch keeps a running stack in step with the working tree. What a
// change means is decided in package loop below; this one carries it out by the
// calls that the other verbs make too, shows it, and takes the keys of the menu.
package watch
