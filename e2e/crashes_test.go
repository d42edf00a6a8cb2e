package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/orlop/orlop/e2e/lab"
)

// What moments are tried, where not those that a script says.
const (
	momentsEnv = "ORLOP_E2E_MOMENTS" // how many
	firstEnv   = "ORLOP_E2E_FIRST"   // the number of the first
	wholeEnv   = "ORLOP_E2E_WHOLE"   // how long a change takes, as another run measured it
)

// crashTime bounds how long that takes where nobody asks for a number: a busy
// machine gets through fewer.
const crashTime = 75 * time.Second

// crashes is the world in which something is killed again and again.
type crashes struct {
	ts     *testscript.TestScript
	engine *lab.Engine
	stacks []string            // files
	things map[string][]string // what the machine has while a stack is up
	whole  time.Duration       // of a change that nothing disturbs
	data   string              // what the volume holds, all the time
	serial int
}

func newCrashes(ts *testscript.TestScript, stacks []string) *crashes {
	return &crashes{ts: ts, engine: sceneOf(ts).engine, stacks: stacks, things: map[string][]string{}}
}

// killAnywhere: crashes N FILE... changes from one of the stack files to another,
// N times, and kills the engine, the keeper, both, a shim or the command at a
// random moment of it. Each time the next up must converge, the one after that
// have nothing to do, the volumes be as they were, and nothing more be there than if
// nothing had been killed. ORLOP_E2E_SEED and ORLOP_E2E_WHOLE, which a failure prints,
// draw its moments again, ORLOP_E2E_MOMENTS of them from number ORLOP_E2E_FIRST on.
//
// crashes each FILE... does so at each failpoint, with an engine that has them.
func killAnywhere(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 3, -1, "crashes N|each FILE FILE...")
	c := newCrashes(ts, args[1:])
	c.learn()
	if args[0] == "each" {
		walkFailpoints(c)
		return
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	c.moments(n)
}

// moments tries n moments, or those that the environment asks for.
func (c *crashes) moments(n int) {
	end := time.Now().Add(crashTime)
	if more, err := strconv.Atoi(os.Getenv(momentsEnv)); err == nil {
		n, end = more, time.Now().Add(24*time.Hour)
	}
	first, _ := strconv.Atoi(os.Getenv(firstEnv)) // 0 where none is asked for
	seed, err := strconv.ParseUint(os.Getenv("ORLOP_E2E_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	if as := os.Getenv(wholeEnv); as != "" {
		c.whole, err = time.ParseDuration(as)
		if c.ts.Check(err); c.whole <= 0 {
			c.ts.Fatalf("%s=%s: a change takes some time", wholeEnv, as)
		}
	}
	c.ts.Logf("%s=%d %s=%d ORLOP_E2E_SEED=%d %s=%s", momentsEnv, n, firstEnv, first, seed, wholeEnv, c.whole)
	for i := first; i < first+n && time.Now().Before(end); i++ {
		if i > first && i%50 == 0 {
			fmt.Fprintf(os.Stderr, "%d of %d moments of ORLOP_E2E_SEED=%d\n", i-first, n, seed)
		}
		m := newMoment(i, seed, c)
		c.crash(m, c.disturb(m))
	}
}

// learn brings each stack up once, undisturbed.
func (c *crashes) learn() {
	if c.data = c.volume(); c.data == "" {
		c.ts.Fatalf("the stacks' volume holds nothing that could be lost")
	}
	for _, file := range c.stacks {
		began := time.Now()
		c.must(c.up(file))
		c.whole = max(c.whole, time.Since(began))
	}
	for _, file := range c.stacks {
		c.must(c.up(file))
		c.things[file] = c.settled()
	}
}

// settled is what the machine has once that stays the same: a container's init
// has yet to start its program when an up says that it is there.
func (c *crashes) settled() []string {
	before := alike(c.engine, lab.Things(c.engine))
	for {
		time.Sleep(500 * time.Millisecond)
		now := alike(c.engine, lab.Things(c.engine))
		if len(difference(before, now)) == 0 {
			return now
		}
		before = now
	}
}

// moment is a change, and who is killed when.
type moment struct {
	name   string
	file   string
	args   []string // of orlop: the verb first
	fresh  bool     // the registry has another image by then
	victim string
	at     time.Duration
	which  int // of several
}

// newMoment draws a moment. What is done to whom follows from its number and the seed;
// when, from how long a change takes besides. What it meets is what the moments before it
// have left, and what the machine has done by then: it may take several tries to see it again.
func newMoment(number int, seed uint64, c *crashes) *moment {
	random := rand.New(rand.NewPCG(seed, uint64(number)))
	verbs := [][]string{
		{"up", "-d", "--remove-orphans"}, {"up", "-d", "--remove-orphans"}, {"up", "-d", "--remove-orphans"}, {"up", "-d", "--force-recreate"},
		{"up", "-d", "--build", "--remove-orphans"}, {"up", "-d", "--scale", "web=3"}, {"build"}, {"down", "-t", "0", "--remove-orphans"},
		{"down", "-t", "0", "--rmi", "all"}, {"restart", "-t", "0"},
		{"rm", "-sfv"}, {"stop", "-t", "0"}, {"pull"}, {"up", "-d", "--pull", "always"},
	}
	m := &moment{file: c.stacks[random.IntN(len(c.stacks))], args: verbs[random.IntN(len(verbs))]}
	m.fresh = slices.Contains(m.args, "pull") || slices.Contains(m.args, "--pull")
	m.victim = []string{"engine", "engine", "keeper", "both", "shim", "command"}[random.IntN(6)]
	// What a change takes on a machine that has nothing else to do is some of it; a
	// build takes most.
	m.at = time.Duration(random.Int64N(int64(c.whole)))
	m.which = random.IntN(1000)
	m.name = fmt.Sprintf("moment %d of ORLOP_E2E_SEED=%d %s=%s: %s %s, %s killed after %s", number, seed, wholeEnv, c.whole, m.file, strings.Join(m.args, " "), m.victim, m.at)
	return m
}

// crash sees that all is well after a change that something was killed during,
// which has printed something.
func (c *crashes) crash(m *moment, out string) {
	fail := func(format string, args ...any) {
		why := fmt.Sprintf(format, args...)
		fmt.Fprintf(os.Stderr, "%s: %s\n", m.name, why) // what follows is long, and may be cut off where it is kept
		c.ts.Fatalf("%s: %s\nof\n%s\nthe engine's log:\n%s", m.name, why, out, c.engine.Logs(30))
	}
	if said, err := c.run(c.up(m.file)); err != nil {
		fail("the next up does not converge: %v\n%s", err, said)
	}
	said, err := c.run(c.up(m.file))
	for tries := 0; m.victim == "shim" && tries < 4 && err == nil && !strings.Contains(said, "is up to date"); tries++ {
		// The engine may have heard of its end in the middle, and a policy starts again what it had.
		said, err = c.run(c.up(m.file))
	}
	if err != nil || !strings.Contains(said, "is up to date") {
		fail("the up after that has something to do: %v\n%s", err, said)
	}
	if now := c.volume(); now != c.data {
		fail("the volume held %d bytes and holds %d, which are others", len(c.data), len(now))
	}
	var diff []string
	for end := time.Now().Add(removalLimit); ; time.Sleep(20 * time.Millisecond) {
		diff = slices.DeleteFunc(difference(c.things[m.file], alike(c.engine, lab.Things(c.engine))), isLess)
		if len(diff) == 0 || time.Now().After(end) {
			break
		}
	}
	if len(diff) > 0 {
		fail("left are\n%s", strings.Join(diff, "\n"))
	}
}

// isLess says of a difference that something is not there which was: builds have
// things of their own, until a down.
func isLess(diff string) bool { return strings.HasPrefix(diff, "- ") }

// prepare has what is built, and with fresh what is pulled, differ from what it was.
func (c *crashes) prepare(fresh bool) {
	c.serial++
	c.ts.Check(os.WriteFile(c.ts.MkAbs("app/serial"), []byte(strconv.Itoa(c.serial)), 0o644))
	if fresh {
		c.ts.Check(stage.registry.Renew(archive("busybox"), "library/hello:1", strconv.Itoa(c.serial)))
	}
}

// disturb runs the command of a moment, kills something while it runs, and gives
// what it printed.
func (c *crashes) disturb(m *moment) string {
	c.ts.Logf("%s", m.name)
	c.prepare(m.fresh)
	cmd := c.orlop(m.args[0], m.file, m.args[1:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	c.ts.Check(cmd.Start())
	time.Sleep(m.at)
	pids := map[string][]int{
		"engine": c.engine.Processes("orlop-engine"), "keeper": c.engine.Processes("orlopd"), "shim": c.engine.Processes("orlop-shim"),
		"both": append(c.engine.Processes("orlopd"), c.engine.Processes("orlop-engine")...),
	}[m.victim]
	if m.victim == "shim" && len(pids) > 1 {
		pids = pids[m.which%len(pids):][:1]
	}
	if m.victim == "command" {
		_ = cmd.Process.Kill() // it may have ended by itself
	} else {
		c.ts.Check(lab.Kill(pids))
	}
	_ = cmd.Wait() // however it ends
	return out.String()
}

// volume is what the stacks' volume holds.
func (c *crashes) volume() string {
	text, err := os.ReadFile(filepath.Join(c.engine.Root, "volumes", c.ts.Getenv("P")+"_data", "_data", "file"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		c.ts.Fatalf("%v", err)
	}
	return string(text)
}

func (c *crashes) up(file string) *exec.Cmd { return c.orlop("up", file, "-d", "--remove-orphans") }

func (c *crashes) orlop(verb, file string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(background(), 60*time.Second)
	cmd := c.engine.Command(ctx, c.ts.MkAbs("."), append([]string{"-f", file, verb}, args...)...)
	cmd.Cancel = func() error { cancel(); return cmd.Process.Kill() }
	for _, name := range []string{"PATH", "HOME", "COMPOSE_PROJECT_NAME", "PORT1"} {
		cmd.Env = append(cmd.Env, name+"="+c.ts.Getenv(name))
	}
	return cmd
}

func (c *crashes) run(cmd *exec.Cmd) (string, error) {
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c *crashes) must(cmd *exec.Cmd) {
	if out, err := c.run(cmd); err != nil {
		c.ts.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
}

// alike makes things the same that differ by the names that were drawn for them.
func alike(e *lab.Engine, things []string) []string {
	out := slices.Clone(things)
	for _, m := range []struct{ from, to string }{
		{`[0-9a-f]{64}`, "ID"}, {`or` + e.ID() + `v[0-9a-f]+`, "PAIR"}, {`or` + e.ID() + `b?[0-9a-f]+`, "BRIDGE"},
		{`\d+\.\d+\.\d+\.\d+(/\d+)?`, "ADDRESS"}, {`(shims/[^/]*)-[a-z0-9]{8}`, "$1-NAME"}, {`elements = .*`, "elements"},
	} {
		pattern := regexp.MustCompile(m.from)
		for i := range out {
			out[i] = pattern.ReplaceAllString(out[i], m.to)
		}
	}
	return slices.DeleteFunc(out, func(thing string) bool {
		return strings.HasPrefix(thing, `rule "`) || strings.HasPrefix(thing, "rule elements")
	})
}
