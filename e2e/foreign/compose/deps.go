//go:build suite

package compose

import _ "github.com/docker/compose/v5/pkg/e2e" // what is judged by, in go.mod
