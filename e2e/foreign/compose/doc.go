// Package compose holds the engine against docker/compose's own end-to-end tests. They come from the module proxy; their
// fixtures are laid into a scratch directory, a stand-in for Docker (docker) gives their calls to orlop, and a registry of our own has
// the images that they ask for. notpassing.txt names those that need not pass, with the reason.
package compose
