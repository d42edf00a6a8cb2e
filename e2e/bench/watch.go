package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// saves is how many saves one measurement of a watch makes.
const saves = 50

const (
	watchPort  = 20985
	watchGo    = 20986
	fastPoll   = time.Millisecond
	watchLimit = time.Minute
)

// watchStack has a service that files are synced into and one that is built.
const watchStack = `services:
  site:
    image: busybox
    command: sh -c 'mkdir -p /www; exec httpd -f -p 80 -h /www'
    stop_grace_period: 0s
    ports: ["127.0.0.1:%d:80"]
    develop:
      watch:
        - {path: site, action: sync, target: /www, initial_sync: true}
  api:
    build: api
    stop_grace_period: 0s
    ports: ["127.0.0.1:%d:80"]
`

// watchDockerfile keeps Go's caches, and puts the program into a directory of
// its own: to copy a file out of a stage, BuildKit reads the directory that it
// is in, and for the root that is the whole stage, 0.25 s of it.
const watchDockerfile = `FROM golang:1.26 AS compile
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/root/.cache/go-build --mount=type=cache,target=/go/pkg/mod \
    CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/ .
FROM scratch
COPY --from=compile /out/api /api
CMD ["/api"]
`

const watchProgram = `package main

import "net/http"

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("word %s")) })
	http.ListenAndServe(":80", nil)
}
`

// watching is a running "orlop watch".
type watching struct {
	dir   string
	lines chan watchEvent
	exec  func(argv ...string) (string, error) // in the container of site
	stop  func() error
}

// watchEvent is what the benchmark reads of a line of JSON.
type watchEvent struct {
	Watch struct {
		Service string        `json:"service"`
		Kind    string        `json:"kind"`
		Files   int           `json:"files"`
		Step    time.Duration `json:"step_took"`
	} `json:"watch"`
}

func (b *bench) watch(ctx context.Context) (*watching, error) {
	dir, err := b.stack(map[string]string{
		"stack.yaml": fmt.Sprintf(watchStack, watchPort, watchGo), "site/index.html": "word first", "api/Dockerfile": watchDockerfile,
		"api/main.go": fmt.Sprintf(watchProgram, "first"), "api/go.mod": "module api\n\ngo 1.26\n",
	})
	if err != nil {
		return nil, err
	}
	if _, err := b.steps(ctx, dir, "up -d"); err != nil {
		return nil, err
	}
	c := exec.CommandContext(ctx, filepath.Join(b.bin, "orlop"), "--progress", "json", "watch")
	c.Dir, c.Env = dir, append(os.Environ(), b.engine.Env()...)
	out, err := c.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	w := &watching{dir: dir, lines: make(chan watchEvent, 100_000)}
	go func() {
		defer close(w.lines)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var e watchEvent
			if json.Unmarshal(lines.Bytes(), &e) == nil && e.Watch.Kind != "" {
				w.lines <- e
			}
		}
	}()
	w.exec = func(argv ...string) (string, error) {
		return b.engine.Run(ctx, dir, append([]string{"exec", "-T", "site"}, argv...)...)
	}
	w.stop = func() error {
		_ = c.Process.Signal(os.Interrupt)
		_ = c.Wait() // it ends with the code of an interrupt
		_, err := b.steps(ctx, dir, "down")
		return err
	}
	_, err = w.until("ready", "")
	return w, err
}

// until gives the next event of a kind, of a service unless that is "".
func (w *watching) until(kind, service string) (watchEvent, error) {
	limit := time.After(watchLimit)
	for {
		select {
		case e, ok := <-w.lines:
			if !ok {
				return e, errors.New("the watch has ended")
			}
			if e.Watch.Kind == kind && (service == "" || e.Watch.Service == service) {
				return e, nil
			}
		case <-limit:
			return watchEvent{}, fmt.Errorf("no event %s of %s", kind, service)
		}
	}
}

// save writes a file and gives the seconds until a page has the word.
func (w *watching) save(file, text, word string, port int) (float64, error) {
	began := time.Now()
	if err := os.WriteFile(filepath.Join(w.dir, file), []byte(text), 0o644); err != nil {
		return 0, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: watchLimit}
	for time.Since(began) < watchLimit {
		if resp, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/", port)); err == nil {
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if strings.Contains(string(body), word) {
				return time.Since(began).Seconds(), nil
			}
		}
		time.Sleep(fastPoll) // a page tells nobody that it has changed
	}
	return 0, fmt.Errorf("%s is not served after %s", word, watchLimit)
}

// percentiles are the median and the 95th percentile.
func percentiles(samples []float64) []float64 {
	slices.Sort(samples)
	return []float64{median(samples), samples[len(samples)*95/100]}
}

// watchSyncs measures saves of a file that is synced; beside builds, the other
// service is built without a pause.
func watchSyncs(besideBuilds bool) func(context.Context, *bench) ([]float64, error) {
	return func(ctx context.Context, b *bench) ([]float64, error) {
		w, err := b.watch(ctx)
		if err != nil {
			return nil, err
		}
		var samples []float64
		for i := range saves {
			if besideBuilds && i%5 == 0 {
				program := fmt.Sprintf(watchProgram, fmt.Sprintf("beside %d", i))
				if err := os.WriteFile(filepath.Join(w.dir, "api", "main.go"), []byte(program), 0o644); err != nil {
					return nil, err
				}
				if _, err := w.until("building", "api"); err != nil {
					return nil, err
				}
			}
			word := fmt.Sprintf("word %d.", i)
			took, err := w.save("site/index.html", word, word, watchPort)
			if err != nil {
				return nil, errors.Join(err, w.stop())
			}
			samples = append(samples, took)
		}
		return percentiles(samples), w.stop()
	}
}

// watchRebuilds measures saves of a small Go program, and the compiler's part.
func watchRebuilds(ctx context.Context, b *bench) ([]float64, error) {
	w, err := b.watch(ctx)
	if err != nil {
		return nil, err
	}
	var samples, compiles []float64
	run := time.Now().UnixNano() // no build of an earlier run is this one's
	for i := range saves {
		text := fmt.Sprintf("%d-%d.", run, i)
		took, err := w.save("api/main.go", fmt.Sprintf(watchProgram, text), "word "+text, watchGo)
		if err != nil {
			return nil, errors.Join(err, w.stop())
		}
		e, err := w.until("rebuilt", "api")
		if err != nil {
			return nil, errors.Join(err, w.stop())
		}
		samples, compiles = append(samples, took), append(compiles, e.Watch.Step.Seconds())
	}
	slices.Sort(compiles)
	return append(percentiles(samples), median(compiles)), w.stop()
}

// watchBatches measures batches of files, from the last write until all of
// them are in the container.
func watchBatches(ctx context.Context, b *bench) ([]float64, error) {
	w, err := b.watch(ctx)
	if err != nil {
		return nil, err
	}
	var out []float64
	for _, n := range []int{1000, 20_000} {
		took, err := w.batch(n)
		if err != nil {
			return nil, errors.Join(err, w.stop())
		}
		out = append(out, took)
	}
	return out, w.stop()
}

func (w *watching) batch(files int) (float64, error) {
	for i := range files {
		dir := filepath.Join(w.dir, "site", fmt.Sprintf("batch%d", files), fmt.Sprint(i/100))
		if i%100 == 0 {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return 0, err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%d", i)), fmt.Appendf(nil, "file %d of %d\n", i, files), 0o644); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	// A directory may come with the files in it, and is then no change of its own:
	// what is counted is what the container has.
	for got := 0; ; {
		e, err := w.until("synced", "site")
		if err != nil {
			return 0, fmt.Errorf("%d of %d files are there: %w", got, files, err)
		}
		took := time.Since(began).Seconds()
		if got += e.Watch.Files; got < files {
			continue
		}
		there, err := w.exec("find", fmt.Sprintf("/www/batch%d", files), "-type", "f")
		if err != nil {
			return 0, err
		}
		if strings.Count(there, "\n") == files {
			return took, nil
		}
	}
}
