package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/orlop/orlop/e2e/lab"
)

// loadTable is what a machine is loaded with, and what must stay bounded by it.
func loadTable() []row {
	return []row{
		{"many", "500 services from one file", []column{
			{"250 up", "s", 12}, {"500 up", "s", 25}, {"500 to 250", "", 2.6}, {"nothing changed", "s", 0.4}, {"500 down", "s", 15}, {"engine, at most", "MB", 200},
		}, many},
		{"flood", "a service that prints 1 GB without a line's end", []column{
			{"until all is read", "s", 30}, {"engine, at most", "MB", 150}, {"log on the disk", "MB", 55},
		}, flood},
		{"names", "10,000 names asked for each second, while services come and go", []column{
			{"asked", "k", 1e9}, {"not answered", "", 0}, {"p99", "s", 0.05}, {"engine, at most", "MB", 150},
		}, names10k},
		{"connections", "5,000 connections at once through a published port", []column{
			{"until all are answered", "s", 20}, {"not answered", "", 0}, {"keeper, at most", "MB", 120},
		}, connections},
		{"context", "a build context", []column{
			{"2 GB in one file", "s", 60}, {"200,000 files", "s", 120}, {"engine, at most", "MB", 400},
		}, contexts},
	}
}

// peak measures the most memory that a process of the engine has from now on.
type peak struct{ pid int }

func (b *bench) peak(ctx context.Context, keeper bool) (peak, error) {
	s, err := b.engine.Status(ctx)
	if err != nil {
		return peak{}, err
	}
	pid := s.PID
	if keeper {
		pid = s.Keeper.PID
	}
	// 5 sets the mark of the most resident memory back (proc_pid_clear_refs(5)).
	return peak{pid}, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// megabytes is the most that the process had resident.
func (p peak) megabytes() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kilobytes float64
	_, err = fmt.Sscan(rest, &kilobytes)
	return kilobytes * 1024 / 1e6, err
}

func many(ctx context.Context, b *bench) ([]float64, error) {
	var out []float64
	most, err := b.peak(ctx, false)
	if err != nil {
		return nil, err
	}
	for _, n := range []int{250, 500} {
		dir, err := b.stack(map[string]string{"stack.yaml": sleeping(n, "0s")})
		if err != nil {
			return nil, err
		}
		steps := []string{"--progress quiet up -d", ":--progress quiet down"}
		if n == 500 {
			steps = []string{"--progress quiet up -d", "--progress quiet up -d", "--progress quiet down"}
		}
		times, err := b.steps(ctx, dir, steps...)
		if err != nil {
			return nil, err
		}
		out = append(out, times...)
	}
	mb, err := most.megabytes()
	return []float64{out[0], out[1], out[1] / out[0], out[2], out[3], mb}, err
}

func flood(ctx context.Context, b *bench) ([]float64, error) {
	dir, err := b.stack(map[string]string{"stack.yaml": `services:
  flood:
    image: busybox
    command: [sh, -c, 'head -c 1000000000 /dev/zero | tr "\0" x; echo; echo the end; sleep infinity']
    stop_grace_period: 0s
`})
	if err != nil {
		return nil, err
	}
	most, err := b.peak(ctx, false)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if _, err := b.steps(ctx, dir, "up -d"); err != nil {
		return nil, err
	}
	for {
		out, err := b.engine.Run(ctx, dir, "logs", "--no-log-prefix", "-n", "1")
		if err != nil {
			return nil, err
		}
		if strings.TrimSpace(out) == "the end" {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	took := time.Since(began).Seconds()
	mb, err := most.megabytes()
	if err != nil {
		return nil, err
	}
	size, err := sizeOf(filepath.Join(b.engine.Root, "containers"))
	if err != nil {
		return nil, err
	}
	_, err = b.steps(ctx, dir, "down")
	return []float64{took, mb, float64(size) / 1e6}, err
}

func sizeOf(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if st, err := d.Info(); err == nil && d.Type().IsRegular() {
			size += st.Size()
		}
		return nil
	})
	return size, err
}

// names10k asks from inside of a container, as its programs do, while another
// service is replaced without a pause.
func names10k(ctx context.Context, b *bench) ([]float64, error) {
	const perSecond, seconds, askers = 10_000, 10, 20
	dir, err := b.stack(map[string]string{"stack.yaml": `services:
  web: {image: busybox, command: sleep infinity, stop_grace_period: 0s, scale: 2}
  goes: {image: busybox, command: sleep infinity, stop_grace_period: 0s}
`})
	if err != nil {
		return nil, err
	}
	if _, err := b.steps(ctx, dir, "up -d"); err != nil {
		return nil, err
	}
	most, err := b.peak(ctx, false)
	if err != nil {
		return nil, err
	}
	ids, err := b.engine.Run(ctx, dir, "ps", "-q", "web")
	if err != nil {
		return nil, err
	}
	pid, err := b.processOf(strings.Fields(ids)[0])
	if err != nil {
		return nil, err
	}
	churned := make(chan error, 1)
	churn, stop := context.WithCancel(ctx)
	go func() { churned <- b.churn(churn, dir) }()
	a := askMany(fmt.Sprintf("/proc/%d/ns/net", pid), askers, perSecond/askers, seconds*time.Second)
	stop()
	if err := errors.Join(a.err, <-churned); err != nil {
		return nil, err
	}
	mb, err := most.megabytes()
	if err != nil {
		return nil, err
	}
	slices.Sort(a.times)
	_, err = b.steps(ctx, dir, "down")
	return []float64{float64(a.asked) / 1e3, float64(a.lost), a.times[len(a.times)*99/100], mb}, err
}

// processOf is a process of a container: its cgroup has the container's name.
func (b *bench) processOf(container string) (int, error) {
	for _, pid := range lab.Running(b.engine, "busybox") {
		groups, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if strings.Contains(string(groups), container) {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("no process of container %s is found", container)
}

// churn replaces a service again and again.
func (b *bench) churn(ctx context.Context, dir string) error {
	for ctx.Err() == nil {
		if _, err := b.engine.Run(context.WithoutCancel(ctx), dir, "--progress", "quiet", "up", "-d", "--force-recreate", "--no-deps", "goes"); err != nil {
			return err
		}
	}
	return nil
}

type answers struct {
	asked, lost int
	times       []float64
	err         error
}

// askMany asks for the name web from a network namespace: so many askers, each so
// often a second.
func askMany(netns string, askers, perSecond int, span time.Duration) answers {
	var mu sync.Mutex
	var all answers
	var wait sync.WaitGroup
	for range askers {
		wait.Go(func() {
			one := ask(netns, perSecond, span)
			mu.Lock()
			defer mu.Unlock()
			all.asked, all.lost, all.times = all.asked+one.asked, all.lost+one.lost, append(all.times, one.times...)
			all.err = errors.Join(all.err, one.err)
		})
	}
	wait.Wait()
	return all
}

func ask(netns string, perSecond int, span time.Duration) (a answers) {
	conn, err := lab.DialIn(netns, "udp", "127.0.0.11:53")
	if err != nil {
		return answers{err: err}
	}
	defer conn.Close()
	client := &dns.Client{Timeout: 2 * time.Second}
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for end := time.Now().Add(span); time.Now().Before(end); <-tick.C {
		began := time.Now()
		reply, _, err := client.ExchangeWithConn(new(dns.Msg).SetQuestion("web.", dns.TypeA), &dns.Conn{Conn: conn})
		a.asked++
		if err != nil || len(reply.Answer) != 2 {
			a.lost++
		}
		a.times = append(a.times, time.Since(began).Seconds())
	}
	return a
}

// connections opens all before it sends a byte through any.
func connections(ctx context.Context, b *bench) ([]float64, error) {
	const n = 5000
	dir, err := b.stack(map[string]string{"stack.yaml": fmt.Sprintf(`services:
  echo:
    image: busybox
    command: sleep infinity
    stop_grace_period: 0s
    ports: ["127.0.0.1:%d:7"]
`, watchPort)})
	if err != nil {
		return nil, err
	}
	if _, err := b.steps(ctx, dir, "up -d"); err != nil {
		return nil, err
	}
	if err := b.echo(ctx, dir, "echo"); err != nil {
		return nil, err
	}
	most, err := b.peak(ctx, true)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	lost := exchangeAll(fmt.Sprintf("127.0.0.1:%d", watchPort), n)
	took := time.Since(began).Seconds()
	mb, err := most.megabytes()
	if err != nil {
		return nil, err
	}
	_, err = b.steps(ctx, dir, "down")
	return []float64{took, float64(lost), mb}, err
}

// echo answers in the network namespace of a service's container, until that is
// gone: the keeper is what is measured, not some server.
func (b *bench) echo(ctx context.Context, dir, service string) error {
	id, err := b.engine.Run(ctx, dir, "ps", "-q", service)
	if err != nil {
		return err
	}
	pid, err := b.processOf(strings.TrimSpace(id))
	if err != nil {
		return err
	}
	l, err := lab.ListenIn(fmt.Sprintf("/proc/%d/ns/net", pid), ":7")
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return nil
}

func exchangeAll(address string, n int) (lost int) {
	var mu sync.Mutex
	miss := func() { mu.Lock(); lost++; mu.Unlock() }
	open := make(chan net.Conn, n)
	var wait sync.WaitGroup
	limit := make(chan struct{}, 200)
	for range n {
		limit <- struct{}{}
		wait.Go(func() {
			defer func() { <-limit }()
			c, err := net.DialTimeout("tcp", address, 30*time.Second)
			if err != nil {
				miss()
				return
			}
			open <- c
		})
	}
	wait.Wait()
	close(open)
	for c := range open {
		wait.Go(func() {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(time.Minute))
			answer := make([]byte, 5)
			if _, err := io.WriteString(c, "hello"); err != nil {
				miss()
			} else if _, err := io.ReadFull(c, answer); err != nil || string(answer) != "hello" {
				miss()
			}
		})
	}
	wait.Wait()
	return lost
}

func contexts(ctx context.Context, b *bench) ([]float64, error) {
	dir, err := b.stack(map[string]string{
		"stack.yaml":       "services:\n  big: {build: big}\n  files: {build: files}\n",
		"big/Dockerfile":   "FROM busybox\nCOPY file /\n",
		"files/Dockerfile": "FROM busybox\nCOPY tree /tree\n",
	})
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := noise(filepath.Join(dir, "big", "file"), 2000); err != nil {
		return nil, err
	}
	for i := range 200_000 {
		sub := filepath.Join(dir, "files", "tree", fmt.Sprint(i/500))
		if i%500 == 0 {
			if err := os.MkdirAll(sub, 0o755); err != nil {
				return nil, err
			}
		}
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprint(i)), fmt.Appendf(nil, "%d\n", i), 0o644); err != nil {
			return nil, err
		}
	}
	most, err := b.peak(ctx, false)
	if err != nil {
		return nil, err
	}
	times, err := b.steps(ctx, dir, "build big", "build files", ":down --rmi local")
	if err != nil {
		return nil, err
	}
	mb, err := most.megabytes()
	return append(times, mb), err
}

// noise writes a file of so many MB that does not compress.
func noise(path string, megabytes int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	random, err := os.Open("/dev/urandom")
	if err != nil {
		return errors.Join(err, f.Close())
	}
	defer random.Close()
	_, err = io.CopyN(f, random, int64(megabytes)*1e6)
	return errors.Join(err, f.Close())
}
