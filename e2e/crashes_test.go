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

// momentsEnv is how many moments are tried, where not as many as a script says.
const momentsEnv = "ORLOP_E2E_MOMENTS"

// crashTime bounds how long that takes where nobody asks for a number: a busy
// machine gets through fewer.
const crashTime = 75 * time.Second

// crashes is the world in which something is killed again and again.
type crashes struct {
	ts     *testscript.TestScript
	engine *lab.Engine
	random *rand.Rand
	stacks []string            // files
	things map[string][]string // what the machine has while a stack is up
	whole  time.Duration       // of a change that nothing disturbs
	serial int
}

// killAnywhere: crashes N FILE... changes from one of the stack files to another,
// N times, and kills the engine, the keeper, both, a shim or the command at a
// random moment of it. Each time the next up must converge, the one after that
// have nothing to do, the volumes be as they were, and nothing more be there than if
// nothing had been killed. ORLOP_E2E_SEED repeats the moments of a seed that a
// failure printed, ORLOP_E2E_MOMENTS says how many.
func killAnywhere(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 3, -1, "crashes N FILE FILE...")
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	end := time.Now().Add(crashTime)
	if more, err := strconv.Atoi(os.Getenv(momentsEnv)); err == nil {
		n, end = more, time.Now().Add(24*time.Hour)
	}
	seed, err := strconv.ParseUint(os.Getenv("ORLOP_E2E_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	ts.Logf("ORLOP_E2E_SEED=%d", seed)
	c := &crashes{ts: ts, engine: sceneOf(ts).engine, random: rand.New(rand.NewPCG(seed, 0)), stacks: args[1:], things: map[string][]string{}}
	c.learn()
	for i := 0; i < n && time.Now().Before(end); i++ {
		c.crash(i, seed)
	}
}

// learn brings each stack up once, undisturbed.
func (c *crashes) learn() {
	for _, file := range c.stacks {
		began := time.Now()
		c.must(c.orlop("up", file, "-d", "--remove-orphans"))
		c.whole = max(c.whole, time.Since(began))
	}
	for _, file := range c.stacks {
		c.must(c.orlop("up", file, "-d", "--remove-orphans"))
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

// change is a command that something is killed during.
func (c *crashes) change(file string) *exec.Cmd {
	verbs := [][]string{
		{"up", "-d", "--remove-orphans"}, {"up", "-d", "--remove-orphans"}, {"up", "-d", "--force-recreate"}, {"up", "-d", "--build", "--remove-orphans"},
		{"up", "-d", "--scale", "web=3"}, {"down", "-t", "0"}, {"restart", "-t", "0"}, {"rm", "-sf"}, {"stop", "-t", "0"}, {"pull"}, {"up", "-d", "--pull", "always"},
	}
	verb := verbs[c.random.IntN(len(verbs))]
	return c.orlop(verb[0], file, verb[1:]...)
}

// crash kills something during one change, and sees that all is well afterwards.
func (c *crashes) crash(number int, seed uint64) {
	file := c.stacks[c.random.IntN(len(c.stacks))]
	c.serial++
	c.ts.Check(os.WriteFile(c.ts.MkAbs("app/serial"), []byte(strconv.Itoa(c.serial)), 0o644)) // what is built differs
	sum := c.volume()
	victim := []string{"engine", "engine", "keeper", "both", "shim", "command"}[c.random.IntN(6)]
	at := time.Duration(c.random.Int64N(int64(c.whole)))
	cmd := c.change(file)
	what := fmt.Sprintf("moment %d of ORLOP_E2E_SEED=%d: %s, %s killed after %s", number, seed, strings.Join(cmd.Args[1:], " "), victim, at)
	c.ts.Logf("%s", what)
	out := c.disturb(cmd, victim, at)

	fail := func(format string, args ...any) {
		c.ts.Fatalf("%s: %s\nof\n%s\nthe engine's log:\n%s", what, fmt.Sprintf(format, args...), out, c.engine.Logs(30))
	}
	if said, err := c.run(c.orlop("up", file, "-d", "--remove-orphans")); err != nil {
		fail("the next up does not converge: %v\n%s", err, said)
	}
	said, err := c.run(c.orlop("up", file, "-d", "--remove-orphans"))
	for tries := 0; victim == "shim" && tries < 4 && err == nil && !strings.Contains(said, "is up to date"); tries++ {
		// The engine may have heard of its end in the middle, and a policy starts again what it had.
		said, err = c.run(c.orlop("up", file, "-d", "--remove-orphans"))
	}
	if err != nil || !strings.Contains(said, "is up to date") {
		fail("the up after that has something to do: %v\n%s", err, said)
	}
	if now := c.volume(); now != sum {
		fail("the volume held %q and holds %q", sum, now)
	}
	var diff []string
	for end := time.Now().Add(removalLimit); ; time.Sleep(20 * time.Millisecond) {
		diff = slices.DeleteFunc(difference(c.things[file], alike(c.engine, lab.Things(c.engine))), isLess)
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

// disturb runs a command and kills something while it runs.
func (c *crashes) disturb(cmd *exec.Cmd, victim string, at time.Duration) string {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	c.ts.Check(cmd.Start())
	time.Sleep(at)
	pids := map[string][]int{
		"engine": c.engine.Processes("orlop-engine"), "keeper": c.engine.Processes("orlopd"), "shim": c.engine.Processes("containerd-shim-runc-v2"),
		"both": append(c.engine.Processes("orlopd"), c.engine.Processes("orlop-engine")...),
	}[victim]
	if victim == "shim" && len(pids) > 1 {
		pids = pids[c.random.IntN(len(pids)):][:1]
	}
	if victim == "command" {
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

func (c *crashes) orlop(verb, file string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(background(), 60*time.Second)
	cmd := c.engine.Command(ctx, c.ts.MkAbs("."), append([]string{"-f", file, verb}, args...)...)
	cmd.Cancel = func() error { cancel(); return cmd.Process.Kill() }
	for _, name := range []string{"PATH", "HOME", "COMPOSE_PROJECT_NAME"} {
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
