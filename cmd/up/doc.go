// Package up is one up: it loads the stack, applies it, and stays with the logs
// and the ends of its containers until all have ended or the user lets go.
package up
