package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/orlop/orlop/e2e/guest/machine"
)

// Fault 14: a machine loses its power at random moments of the load of an image, of `up --build`, of a change and of `down`
// Seen: the engine starts; `up --build` converges, and the next has nothing to do; what is damaged is told once
// Kept: what commands had said to be done, and each record that a service had synced to its volume; nothing is left behind
func TestAMachineLosesItsPower(t *testing.T) {
	if os.Getenv(asked) == "" {
		t.Skip("SKIPPED: a test in a machine of its own: run \"make guest\"")
	}
	const seeds, limit = 3, 4 * time.Minute
	l, err := prepare(t.Context(), filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	began := time.Now()
	for seed := uint64(1); seed <= seeds; seed++ {
		if time.Since(began) >= limit {
			t.Logf("NOT TRIED: seeds %d to %d (make powerloss FIRST=%d SEEDS=%d), as those before have taken %.0f s", seed, seeds, seed, seeds-seed+1, time.Since(began).Seconds())
			break
		}
		if err := l.lose(t.Context(), seed); err != nil {
			t.Errorf("seed %d (make powerloss SEEDS=1 FIRST=%d): %v", seed, seed, err)
		}
	}
}

// Fault 14: the power is lost in the moment in which `up --build` has said that the stack is up
// Seen: nothing: containers come back by their policies, and the next `up` has nothing to do
// Kept: the files of the images that were built, byte by byte, though nobody had asked for them to be on the disk
func TestThePowerIsLostRightAfterABuild(t *testing.T) {
	g := newGuest(t, machine.Options{})
	orlop := func(args ...string) []string { return append([]string{"orlop", "-f", "/stacks/bare.yaml"}, args...) }
	g.run(orlop("up", "--build", "-d")...)
	sums := orlop("exec", "-T", "bare", "md5sum", "/ballast", "/bin/busybox")
	want := g.run(sums...)
	if _, err := g.losePower(g.ctx, rand.New(rand.NewPCG(0, 0)), testLimit); err != nil {
		t.Fatal(err)
	}
	g.start()
	// What its policy has not started yet is started; nothing is made anew.
	g.wants(`plan: start \d+\n|up to date`, orlop("up", "-d", "--build")...)
	// What it had printed may be lost, so its log doesn't tell when it runs again.
	g.run("sh", "-c", "until orlop -f /stacks/bare.yaml exec -T bare true 2>/dev/null; do sleep 0.5; done")
	if got := g.run(sums...); got != want {
		t.Errorf("there was\n%sand there is\n%s", want, got)
	}
}
