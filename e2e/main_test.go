// Package e2e holds the end-to-end tests: scripts that drive the real command
// against a real engine, as a user does. They see the product from outside
// only. They need root and what "make build" and "make images" make.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/orlop/orlop/e2e/lab"
)

// must is set by "make test": what can't run is then a failure.
const must = "ORLOP_E2E"

func TestMain(m *testing.M) {
	lab.BecomeReaper()
	os.Exit(start(m))
}

// start runs the tests, and tells of what is left behind after all of them.
func start(m *testing.M) int {
	if reason := unable(); reason != nil {
		if os.Getenv(must) != "" {
			fmt.Fprintln(os.Stderr, "e2e: the end-to-end tests can't run:", reason)
			return 1
		}
		missing = reason
		return m.Run()
	}
	if os.Getenv(must) != "" && !hasForeign() {
		fmt.Fprintln(os.Stderr, "e2e: buildx is missing: run \"make foreign\"")
		return 1
	}
	code := m.Run()
	if err := stage.close(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return code
}

// missing says why the tests are skipped; set once, before they run.
var missing error

// unable says what the tests lack.
func unable() error {
	if os.Geteuid() != 0 {
		return errors.New("needs root: containers and networks are real")
	}
	if err := lab.FindPrograms(programs()); err != nil {
		return err
	}
	for _, name := range archives() {
		if _, err := os.Stat(archive(name)); err != nil {
			return fmt.Errorf("%s is missing: run \"make images\"", archive(name))
		}
	}
	return nil
}

func repository() string {
	dir, err := filepath.Abs("..")
	if err != nil {
		panic(err)
	}
	return dir
}

// hasForeign says whether the clients of others are here.
func hasForeign() bool {
	_, err := os.Stat(filepath.Join(foreign(), "buildx"))
	return err == nil
}

func foreign() string            { return filepath.Join(repository(), ".cache", "foreign") }
func programs() string           { return filepath.Join(repository(), "bin") }
func archives() []string         { return []string{"busybox", "debian", "golang"} }
func archive(name string) string { return filepath.Join(repository(), ".cache", "images", name+".tar") }

// context of what is done outside of any one test.
func background() context.Context { return context.Background() }
