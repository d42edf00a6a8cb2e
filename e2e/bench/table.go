package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// table is what is measured, with the numbers to reach on two cores.
func table() []row {
	seconds := func(titles string, reach ...float64) []column {
		var out []column
		for i, t := range strings.Split(titles, " / ") {
			out = append(out, column{title: t, unit: "s", reach: reach[i]})
		}
		return out
	}
	const five = "up cold / nothing changed / one changed / ps / down"
	return []row{
		// First, as the rows below leave databases behind that are resident, too.
		{"memory", "resident with 10 services", []column{{"engine, keeper and shims", "MB", 120}}, memory},
		{"sleep10", "10 services", seconds(five, 0.50, 0.03, 0.15, 0.02, 0.35), sleepers(10)},
		{"sleep50", "50 services", seconds(five, 2.2, 0.04, 0.16, 0.03, 1.2), sleepers(50)},
		{"sleep100", "100 services", seconds("up cold", 2.4), sleepersUp(100)},
		{"processor", "50 services, processor time of one", []column{{"up", "ms", 40}, {"down", "ms", 14}}, processor},
		{"exec", "a process that joins a container", []column{{"exec of true, the whole command", "s", 0.03}}, execs},
		{"logs", fmt.Sprintf("a log of %d lines", printed), []column{{"all of them, the whole command", "s", 0.08}}, allLines},
		{"tail", "the end of such a log", []column{{"the last 100 lines, the whole command", "s", 0.015}}, lastLines},
		{"checks", "50 services with a check a second", []column{{"processor time in 20 s", "s", 6}, {"of it a check", "ms", 8}}, checks},
		{"deaf", "10 services without a handler for SIGTERM", seconds("down", 0.4), deaf},
		{"build20", "20 services with a Dockerfile each",
			seconds("build, all cached / build, one file changed / up --build, one changed", 0.05, 0.40, 0.60), builds},
		{"layer", fmt.Sprintf("a RUN that writes %d MB and %d files", written, writtenFiles),
			[]column{{"build", "s", 3.4}, {"its first container", "s", 0.2}, {"disk", "MB", 460}}, largeLayers},
		{"app", "postgres, redis, nginx, Go api and worker",
			seconds("up --wait, fresh / nothing changed / edit of the api until it answers", 3.0, 0.04, 1.5), application},
		{"engine", "the engine", seconds("from nothing to ready / killed to answering", 0.2, 0.3), engineTimes},
		{"sync", "watch: a save of a synced file until it is served", seconds("p50 / p95", 0.02, 0.05), watchSyncs(false)},
		{"syncbeside", "watch: the same while another service builds", seconds("p50 / p95", 0.02, 0.10), watchSyncs(true)},
		{"rebuild", "watch: a save of a small Go service until it is served",
			seconds("p50 / p95 / of it the compiler", 0.9, 1.2, 0.9), watchRebuilds},
		{"load", "500 services loaded, processor time", seconds("the command begins / the file is loaded", 0.015, 0.040), loading},
		{"cp", "a file of 1 GB", seconds("cp of coreutils / cp into a container / out of it", 1.0, 2.0, 2.0), copies},
		{"commit", "a container that has written 200 MB", seconds("commit / export", 2.0, 0.6), commits},
		{"push", "an image of 12 layers, 22 MB, to a registry on this machine", seconds("all / one small layer changed / nothing changed", 0.40, 0.05, 0.03), pushes},
		{"published", "a published port", publishedColumns(), published},
		{"batches", "watch: files until all are in the container", seconds("1,000 files / 20,000 files", 0.2, 2.0), watchBatches},
	}
}

// sleeping is a stack of services that do nothing, with a grace period or, "",
// without one of their own.
func sleeping(n int, grace string) string {
	var b strings.Builder
	b.WriteString("services:\n")
	for i := range n {
		fmt.Fprintf(&b, "  s%d:\n    image: busybox\n    command: sleep infinity\n", i)
		if grace != "" {
			fmt.Fprintf(&b, "    stop_grace_period: %s\n", grace)
		}
	}
	return b.String()
}

func sleepers(n int) func(context.Context, *bench) ([]float64, error) {
	return func(ctx context.Context, b *bench) ([]float64, error) {
		text := sleeping(n, "0s")
		changed := strings.Replace(text, "sleep infinity", "sleep 999999", 1)
		dir, err := b.stack(map[string]string{"stack.yaml": text, "changed.yaml": changed})
		if err != nil {
			return nil, err
		}
		return b.steps(ctx, dir, "up -d", "up -d", "-f changed.yaml up -d", "-f changed.yaml ps", "-f changed.yaml down")
	}
}

func sleepersUp(n int) func(context.Context, *bench) ([]float64, error) {
	return func(ctx context.Context, b *bench) ([]float64, error) {
		dir, err := b.stack(map[string]string{"stack.yaml": sleeping(n, "0s")})
		if err != nil {
			return nil, err
		}
		return b.steps(ctx, dir, "up -d", ":down")
	}
}

func deaf(ctx context.Context, b *bench) ([]float64, error) {
	dir, err := b.stack(map[string]string{"stack.yaml": sleeping(10, "")})
	if err != nil {
		return nil, err
	}
	return b.steps(ctx, dir, ":up -d", "down")
}

// builds changes a file that the last layer of one image is made of.
func builds(ctx context.Context, b *bench) ([]float64, error) {
	files := map[string]string{}
	var stack strings.Builder
	stack.WriteString("services:\n")
	for i := range 20 {
		fmt.Fprintf(&stack, "  s%d:\n    build: s%d\n    command: sleep infinity\n    stop_grace_period: 0s\n", i, i)
		files[fmt.Sprintf("s%d/Dockerfile", i)] = fmt.Sprintf("FROM busybox\nRUN echo %d > /number\nCOPY file /file\n", i)
		files[fmt.Sprintf("s%d/file", i)] = fmt.Sprintf("first %d %d\n", i, time.Now().UnixNano())
	}
	files["stack.yaml"] = stack.String()
	dir, err := b.stack(files)
	if err != nil {
		return nil, err
	}
	change := func() error {
		return os.WriteFile(filepath.Join(dir, "s7", "file"), []byte(time.Now().String()), 0o644)
	}
	if _, err := b.steps(ctx, dir, "up -d --build"); err != nil {
		return nil, err
	}
	cached, err := b.steps(ctx, dir, "build")
	if err != nil {
		return nil, err
	}
	if err := change(); err != nil {
		return nil, err
	}
	one, err := b.steps(ctx, dir, "build", ":up -d")
	if err != nil {
		return nil, err
	}
	if err := change(); err != nil {
		return nil, err
	}
	up, err := b.steps(ctx, dir, "up -d --build", ":down")
	return append(append(cached, one...), up...), err
}

const (
	appPort  = 20980
	shopPort = 20981
)

// applicationStack puts an nginx in front of the shop, with health checks each
// second.
const applicationStack = `services:
  front:
    build: %[1]s/images/nginx
    ports: ["%[2]d:80"]
    configs: [{source: front, target: /etc/nginx/conf.d/default.conf}]
    networks: [outside]
    depends_on: {web: {condition: service_healthy}}
    healthcheck: {test: [CMD, nginx, -t, -q], interval: 1s}
  web:
    healthcheck: {interval: 1s}
  worker:
    healthcheck: {interval: 1s}
  db:
    healthcheck: {interval: 1s}
  redis:
    healthcheck: {interval: 1s}
configs:
  front:
    content: "server { listen 80; location / { proxy_pass http://web:8080; proxy_set_header Host $$host; } }"
`

// application measures a copy of the shop, whose page is edited.
func application(ctx context.Context, b *bench) ([]float64, error) {
	dir, err := b.stack(nil)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for _, name := range []string{"examples/shop", "images/postgres", "images/redis", "images/nginx"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(b.repo, name))); err != nil {
			return nil, err
		}
	}
	text, err := os.ReadFile(filepath.Join(b.repo, "stack.yaml"))
	if err != nil {
		return nil, err
	}
	// Each measurement is a project of its own, with an empty volume.
	whole := strings.Replace(string(text), "name: shop", "name: "+filepath.Base(dir), 1)
	front := fmt.Sprintf(applicationStack, dir, appPort)
	for name, text := range map[string]string{
		"stack.yaml": whole, "stack.override.yaml": front, ".env": fmt.Sprintf("SHOP_PORT=%d\nGOPROXY=%s\n", shopPort, goProxy()),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	for _, f := range []string{"images/postgres/docker-entrypoint.sh", "images/redis/docker-entrypoint.sh", "images/nginx/docker-entrypoint.sh"} {
		if err := os.Chmod(filepath.Join(dir, f), 0o755); err != nil {
			return nil, err
		}
	}
	times, err := b.steps(ctx, dir, ":build", "up --wait", "up --wait")
	if err != nil {
		return nil, err
	}
	edit, err := b.edit(ctx, dir)
	if err != nil {
		return nil, err
	}
	_, err = b.steps(ctx, dir, "down -v")
	return append(times, edit), err
}

// edit changes the api's code and gives the seconds until the change answers.
func (b *bench) edit(ctx context.Context, dir string) (float64, error) {
	source := filepath.Join(dir, "examples", "shop", "cmd", "web", "shop.go")
	text, err := os.ReadFile(source)
	if err != nil {
		return 0, err
	}
	word := fmt.Sprintf("the edit of %d", time.Now().UnixNano())
	edited := strings.Replace(string(text), "an order is a JSON object", word, 1)
	began := time.Now()
	if err := os.WriteFile(source, []byte(edited), 0o644); err != nil {
		return 0, err
	}
	if _, err := b.steps(ctx, dir, "up --wait"); err != nil {
		return 0, err
	}
	resp, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/api/orders", appPort), "application/json", strings.NewReader("none"))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	took := time.Since(began).Seconds()
	if answer, _ := io.ReadAll(resp.Body); !strings.Contains(string(answer), word) {
		return 0, fmt.Errorf("the old code answers after up --wait: %s", answer)
	}
	return took, nil
}

func goProxy() string {
	out, _ := exec.Command("go", "env", "GOPROXY").Output()
	return strings.TrimSpace(string(out))
}

func engineTimes(ctx context.Context, b *bench) ([]float64, error) {
	if _, err := b.steps(ctx, "/", "engine stop"); err != nil {
		return nil, err
	}
	times, err := b.steps(ctx, "/", "engine start")
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := b.engine.Kill(ctx, false); err != nil {
		return nil, err
	}
	_, err = b.steps(ctx, "/", "ls")
	return append(times, time.Since(began).Seconds()), err
}

func memory(ctx context.Context, b *bench) ([]float64, error) {
	dir, err := b.stack(map[string]string{"stack.yaml": sleeping(10, "0s")})
	if err != nil {
		return nil, err
	}
	// An engine that has just begun has done nothing else before.
	if _, err := b.steps(ctx, dir, "engine stop", "up -d", "ps"); err != nil {
		return nil, err
	}
	s, err := b.engine.Status(ctx)
	if err != nil {
		return nil, err
	}
	_, err = b.steps(ctx, dir, "down")
	return []float64{float64(s.Memory+s.Keeper.Memory+s.ShimMemory) / 1e6}, err
}
