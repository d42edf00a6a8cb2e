package e2e

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/orlop/orlop/e2e/lab"
)

// removalLimit is how long the engine may take to remove what a killed
// command leaves.
const removalLimit = 30 * time.Second

// moments: moments N TERM|KILL PROGRAM ARG... runs a program once as it is,
// then N times with a signal at a random moment, and wants the machine to have
// of the engine what it had before: at once when the program has ended by
// SIGTERM, and soon after SIGKILL. ORLOP_E2E_SEED repeats the moments of a
// seed that a failure printed.
func moments(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 3, -1, "moments N TERM|KILL PROGRAM [ARG...]")
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	seed, err := strconv.ParseUint(os.Getenv("ORLOP_E2E_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	ts.Logf("ORLOP_E2E_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	began := time.Now()
	ts.Check(ts.Exec(args[2], args[3:]...))
	whole := time.Since(began)
	engine := sceneOf(ts).engine
	before := lab.Things(engine)
	for i := range n {
		at := time.Duration(random.Int64N(int64(whole)))
		out := interruptAt(ts, at, args[1], args[2:])
		limit := time.Duration(0)
		if args[1] == "KILL" {
			limit = removalLimit
		}
		diff := differs(engine, before, limit)
		if len(diff) > 0 {
			ts.Fatalf("SIG%s number %d, after %s of %s, leaves\n%s\nof\n%s", args[1], i, at, whole, strings.Join(diff, "\n"), out)
		}
	}
}

// interruptAt runs a program and signals it after some time.
func interruptAt(ts *testscript.TestScript, at time.Duration, name string, args []string) string {
	path, err := exec.LookPath(args[0])
	if err != nil {
		path = programs() + "/" + args[0]
	}
	var out bytes.Buffer
	c := exec.Command(path, args[1:]...)
	c.Dir, c.Stdout, c.Stderr = ts.MkAbs("."), &out, &out
	for _, name := range []string{"ORLOP_ROOT", "ORLOP_STATE", "PATH", "HOME", "COMPOSE_PROJECT_NAME"} {
		c.Env = append(c.Env, name+"="+ts.Getenv(name))
	}
	ts.Check(c.Start())
	timer := time.AfterFunc(at, func() {
		_ = c.Process.Signal(map[string]syscall.Signal{"TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}[name])
	})
	_ = c.Wait() // however it ends: what it leaves counts
	timer.Stop()
	return out.String()
}

// differs is what the machine has of an engine beside what it had, or lacks.
// Within the limit it may come to be the same: nothing tells from outside when
// the engine is done with what a killed command has left.
func differs(engine *lab.Engine, before []string, limit time.Duration) []string {
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		diff := difference(before, lab.Things(engine))
		if len(diff) == 0 || time.Now().After(end) {
			return diff
		}
	}
}

// difference is what one list has more (+) or less (-) of than another.
func difference(before, now []string) []string {
	count := map[string]int{}
	for _, t := range now {
		count[t]++
	}
	for _, t := range before {
		count[t]--
	}
	var diff []string
	for t, n := range count {
		switch {
		case n > 0:
			diff = append(diff, "+ "+t)
		case n < 0:
			diff = append(diff, "- "+t)
		}
	}
	slices.Sort(diff)
	return diff
}
