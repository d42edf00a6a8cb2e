// Package cli is what all verbs stand on: the settings of a command line, the
// stack file that they name, the connection to the engine, and the requests by
// which a project is applied and watched. It knows no verb.
package cli
