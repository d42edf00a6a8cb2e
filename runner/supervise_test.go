package runner

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

func TestProbeFor(t *testing.T) {
	dur := func(d time.Duration) *spec.Duration { s := spec.Duration(d); return &s }
	five := 5
	image := &dockerspec.HealthcheckConfig{Test: []string{"CMD", "curl"}, Interval: time.Minute, Retries: 7, StartPeriod: time.Second}
	for name, test := range map[string]struct {
		service *spec.HealthCheck
		image   *dockerspec.HealthcheckConfig
		want    *probe
	}{
		"none":     {nil, nil, nil},
		"image":    {nil, image, &probe{Args: []string{"curl"}, Interval: time.Minute, Timeout: probeTimeout, Retries: 7, StartPeriod: time.Second}},
		"service":  {&spec.HealthCheck{Test: []string{"CMD-SHELL", "a && b"}}, nil, &probe{Args: []string{"/bin/sh", "-c", "a && b"}, Interval: probeInterval, Timeout: probeTimeout, Retries: probeRetries}},
		"words":    {&spec.HealthCheck{Test: []string{"CMD-SHELL", "echo $0", "b"}}, nil, &probe{Args: []string{"/bin/sh", "-c", "echo $0", "b"}, Interval: probeInterval, Timeout: probeTimeout, Retries: probeRetries}},
		"both":     {&spec.HealthCheck{Test: []string{"CMD", "x", "y"}, Interval: dur(time.Second), Retries: &five}, image, &probe{Args: []string{"x", "y"}, Interval: time.Second, Timeout: probeTimeout, Retries: 5, StartPeriod: time.Second}},
		"times":    {&spec.HealthCheck{Timeout: dur(2 * time.Second), StartInterval: dur(time.Second)}, image, &probe{Args: []string{"curl"}, Interval: time.Minute, Timeout: 2 * time.Second, Retries: 7, StartPeriod: time.Second, StartInterval: time.Second}},
		"disabled": {&spec.HealthCheck{Disable: true}, image, nil},
		"NONE":     {&spec.HealthCheck{Test: []string{"NONE"}}, image, nil},
		"no words": {&spec.HealthCheck{Test: []string{"CMD"}}, nil, nil},
		"no test":  {&spec.HealthCheck{Interval: dur(time.Second)}, nil, nil},
	} {
		got := probeFor(test.service, test.image)
		if (got == nil) != (test.want == nil) {
			t.Errorf("%s: %+v", name, got)
			continue
		}
		if got != nil && (!slices.Equal(got.Args, test.want.Args) || got.Interval != test.want.Interval || got.Timeout != test.want.Timeout ||
			got.Retries != test.want.Retries || got.StartPeriod != test.want.StartPeriod || got.StartInterval != test.want.StartInterval) {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

// run plays a schedule against a container that becomes healthy after a
// while, or never: when it is probed, how many failures count, and the end.
func run(p *probe, healthyAfter time.Duration, limit int) (at []time.Duration, counted []time.Duration) {
	clock := newManual()
	start := clock.now()
	s := &schedule{probe: p, started: start}
	for range limit {
		now := clock.now()
		at = append(at, now.Sub(start))
		if healthyAfter >= 0 && now.Sub(start) >= healthyAfter {
			return at, counted
		}
		if s.counts(now) {
			counted = append(counted, now.Sub(start))
		}
		clock.move(s.pause(planner.Starting, now))
	}
	return at, counted
}

func TestProbesOfAContainerThatStarts(t *testing.T) {
	plain := &probe{Interval: 30 * time.Second, Retries: 3}
	at, _ := run(plain, 0, 100)
	if len(at) != 1 || at[0] != 0 {
		t.Errorf("the first probe is at %v: it must not wait for an interval", at)
	}
	at, counted := run(plain, 5*time.Second, 100)
	if last := at[len(at)-1]; last > 8*time.Second {
		t.Errorf("healthy after 5 s, and known to be after %s", last)
	}
	if len(at) > 15 || len(counted) > 0 {
		t.Errorf("%d probes of which %v count", len(at), counted)
	}
	at, counted = run(plain, -1, 40)
	for i := 1; i < len(at); i++ {
		if gap := at[i] - at[i-1]; gap < probeEarliest || gap > plain.Interval {
			t.Errorf("probe %d comes after %s", i, gap)
		}
	}
	for i, c := range counted {
		since := time.Duration(0)
		if i > 0 {
			since = counted[i-1]
		}
		if c-since < 28*time.Second {
			t.Errorf("the failures that count are at %v, closer than the interval", counted)
		}
	}
	if len(counted) < 3 {
		t.Errorf("only %v count", counted)
	}
}

func TestProbesInTheStartPeriod(t *testing.T) {
	p := &probe{Interval: 10 * time.Second, Retries: 2, StartPeriod: time.Minute, StartInterval: 2 * time.Second}
	at, counted := run(p, -1, 60)
	for i := 1; i < len(at); i++ {
		if gap := at[i] - at[i-1]; at[i-1] < p.StartPeriod && gap > p.StartInterval {
			t.Errorf("in the start period a probe comes after %s", gap)
		}
	}
	if len(counted) == 0 || counted[0] < p.StartPeriod {
		t.Errorf("failures count at %v, start period %s", counted, p.StartPeriod)
	}
	s := &schedule{probe: p, started: time.Unix(0, 0)}
	for _, h := range []planner.Health{planner.Healthy, planner.Unhealthy} {
		if got := s.pause(h, time.Unix(1, 0)); got != p.Interval {
			t.Errorf("when %s the pause is %s", h, got)
		}
	}
}

func TestRestartPolicies(t *testing.T) {
	for _, test := range []struct {
		policy string
		code   int
		tries  int
		want   bool
	}{
		{"", 1, 0, false}, {"no", 1, 0, false}, {"always", 0, 99, true}, {"always", 1, 0, true}, {"unless-stopped", 0, 0, true},
		{"on-failure", 0, 0, false}, {"on-failure", 1, 99, true}, {"on-failure:3", 1, 2, true}, {"on-failure:3", 1, 3, false}, {"on-failure:3", 0, 0, false},
	} {
		if got := isRestarted(test.policy, test.code, test.tries); got != test.want {
			t.Errorf("%q after code %d and %d tries: %v", test.policy, test.code, test.tries, got)
		}
	}
}

func TestBackOffGrowsToItsBound(t *testing.T) {
	clock := newManual()
	var s state
	var last time.Duration
	for i := range 15 {
		s, _ = s.backOff(clock.now())
		if i == 0 && s.delay != firstDelay || s.delay < last || s.delay > lastDelay || i > 0 && s.delay != min(2*last, lastDelay) {
			t.Fatalf("delay %d is %s after %s", i, s.delay, last)
		}
		if want := clock.now().Add(s.delay); !s.retryAt.Equal(want) {
			t.Errorf("the next try is at %s, want %s", s.retryAt, want)
		}
		last = s.delay
	}
	if last != lastDelay {
		t.Errorf("the delay ends at %s", last)
	}
}

func TestJudge(t *testing.T) {
	now := time.Unix(1000, 0)
	one := func(change func(k *planner.Container)) planner.Container {
		k := planner.Container{Name: "shop-db-1", Service: "db", State: planner.Running, StartedAt: now.Add(-time.Minute), Applied: &planner.Applied{Service: &spec.Service{}}}
		change(&k)
		return k
	}
	up := one(func(*planner.Container) {})
	healthy := one(func(k *planner.Container) { k.Health = planner.Healthy })
	starting := one(func(k *planner.Container) {
		k.Health, k.LastProbe = planner.Starting, &planner.ProbeInfo{ExitCode: 1, Output: "refused\nmore"}
	})
	unhealthy := one(func(k *planner.Container) {
		k.Health, k.LastProbe = planner.Unhealthy, &planner.ProbeInfo{ExitCode: 1, Failing: 3}
	})
	done := one(func(k *planner.Container) { k.State = planner.Exited })
	failed := one(func(k *planner.Container) {
		k.State, k.ExitCode, k.ExitedAt = planner.Exited, 3, k.StartedAt.Add(400*time.Millisecond)
	})
	killed := one(func(k *planner.Container) { k.State, k.ExitCode = planner.Exited, 137 })
	oom := one(func(k *planner.Container) { k.State, k.ExitCode, k.OOMKilled = planner.Exited, 137, true })
	fresh := one(func(k *planner.Container) { k.StartedAt = now })
	created := one(func(k *planner.Container) { k.State = planner.Created })
	looping := one(func(k *planner.Container) { k.State, k.Restarts, k.ExitCode = planner.Restarting, 3, 1 })
	oneOff := one(func(k *planner.Container) { k.OneOff = true })
	other := one(func(k *planner.Container) { k.Service, k.State, k.ExitCode = "web", planner.Exited, 1 })
	const H, C, R, S = spec.ServiceHealthy, spec.ServiceCompleted, planner.Ready, spec.ServiceStarted
	for name, test := range map[string]struct {
		condition string
		list      []planner.Container
		text      string
		met       bool
		err       string
	}{
		"started":             {S, []planner.Container{up}, "running", true, ""},
		"started, completed":  {S, []planner.Container{done}, "running", true, ""},
		"started, created":    {S, []planner.Container{created}, "created", false, ""},
		"started, failed":     {S, []planner.Container{failed}, "", false, "exited with code 3 after 0.4 s"},
		"healthy":             {H, []planner.Container{healthy}, "healthy", true, ""},
		"healthy, starting":   {H, []planner.Container{starting}, "not healthy yet: refused", false, ""},
		"healthy, not all":    {H, []planner.Container{healthy, starting}, "not healthy yet: refused", false, ""},
		"healthy, unhealthy":  {H, []planner.Container{unhealthy}, "", false, "unhealthy after 3 failed probes (exit code 1)"},
		"healthy, no check":   {H, []planner.Container{up}, "", false, "no health check to wait for"},
		"healthy, ended":      {H, []planner.Container{done}, "", false, "exited with code 0"},
		"healthy, killed":     {H, []planner.Container{killed}, "", false, "exited with code 137 (SIGKILL)"},
		"healthy, no memory":  {H, []planner.Container{oom}, "", false, "exited with code 137: out of memory"},
		"healthy, looping":    {H, []planner.Container{looping}, "", false, "exited with code 1"},
		"completed":           {C, []planner.Container{done}, "completed", true, ""},
		"completed, runs":     {C, []planner.Container{up}, "running", false, ""},
		"completed, failed":   {C, []planner.Container{done, failed}, "", false, "exited with code 3"},
		"ready":               {R, []planner.Container{up, healthy, done}, "completed", true, ""},
		"ready, just started": {R, []planner.Container{fresh}, "running", false, ""},
		"ready, unhealthy":    {R, []planner.Container{up, unhealthy}, "", false, "unhealthy"},
		"ready, failed":       {R, []planner.Container{failed}, "", false, "exited with code 3"},
		"nobody":              {H, nil, "no container yet", false, ""},
		"others":              {H, []planner.Container{other, oneOff}, "no container yet", false, ""},
	} {
		text, wait, err := judge(test.list, "db", test.condition, now)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: %q, %v, want %q", name, text, err, test.err)
			}
			continue
		}
		if err != nil || text != test.text || (wait == 0) != test.met {
			t.Errorf("%s: %q, %v, %v, want %q, %v", name, text, wait, err, test.text, test.met)
		}
	}
}

func TestSignals(t *testing.T) {
	for name, want := range map[string]syscall.Signal{"": unix.SIGKILL, "TERM": unix.SIGTERM, "SIGUSR1": unix.SIGUSR1, "sigint": unix.SIGINT, "9": unix.SIGKILL} {
		if got, err := parseSignal(name); got != want || err != nil {
			t.Errorf("parseSignal(%q): %v, %v", name, got, err)
		}
	}
	if _, err := parseSignal("SIGNONSENSE"); err == nil || !strings.Contains(err.Error(), `"SIGNONSENSE"`) {
		t.Errorf("nonsense: %v", err)
	}
	for name, want := range map[string]syscall.Signal{"": unix.SIGTERM, "SIGQUIT": unix.SIGQUIT, "nonsense": unix.SIGTERM, "3": unix.SIGQUIT} {
		if got := stopSignal(name); got != want {
			t.Errorf("stopSignal(%q) is %v", name, got)
		}
	}
}

// TestIgnoredSignals asks about this process: the masks in /proc tell which
// signals it handles.

func TestAProbeThatTookTooLongSaysWhatItPrinted(t *testing.T) {
	for output, want := range map[string]string{"": "timed out after 3s", "waiting\n": "timed out after 3s: waiting"} {
		if err := timedOut(3*time.Second, output); err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
}

func TestBoundedOutput(t *testing.T) {
	b := &boundedBuffer{limit: 5}
	for _, p := range []string{"abc", "def", "ghi"} {
		if n, err := b.Write([]byte(p)); n != 3 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if b.String() != "abcde" {
		t.Errorf("%q", b.String())
	}
}

func TestHostsFile(t *testing.T) {
	got := extraHosts([]string{"a=10.0.0.1", "b:10.0.0.2", "six=[::1]", "plain=::2", "broken"})
	if want := "10.0.0.1\ta\n10.0.0.2\tb\n::1\tsix\n::2\tplain\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSecretsAreOnTmpfs(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: it mounts a tmpfs")
	}
	s := &secretFS{dir: filepath.Join(t.TempDir(), "secrets")}
	t.Cleanup(func() { unix.Unmount(s.dir, unix.MNT_DETACH) })
	path, err := s.write("one", 0, []byte("hunter2"), 1000, 100, 0o440)
	if err != nil {
		t.Fatal(err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC {
		t.Errorf("the secret is on %#x, %v", fs.Type, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Uid != 1000 || st.Gid != 100 || st.Mode&0o7777 != 0o440 {
		t.Errorf("owner and mode are %d:%d %o, %v", st.Uid, st.Gid, st.Mode, err)
	}
	again := &secretFS{dir: s.dir} // the next engine
	if _, err := again.write("two", 0, []byte("x"), 0, 0, 0o444); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "hunter2" {
		t.Errorf("a second mount hides the first: %q, %v", b, err)
	}
	again.remove("one")
	if _, err := os.Stat(path); err == nil {
		t.Error("the secret is still there")
	}
	again.remove("two")
	if _, err := os.Stat(s.dir); err == nil {
		t.Error("the tmpfs is still there")
	}
}

// manual is a clock that the test moves.
type manual struct {
	mu sync.Mutex
	at time.Time // guarded by mu
}

func newManual() *manual { return &manual{at: time.Unix(1_700_000_000, 0).UTC()} }

func (m *manual) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at
}

func (m *manual) move(d time.Duration) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = m.at.Add(d)
	return m.at
}
