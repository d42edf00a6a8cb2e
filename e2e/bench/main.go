// Command bench measures how long the common things take, on an engine of its own
// that is gone afterwards: medians of several runs beside the numbers to reach.
//
//	go run ./e2e/bench -runs 5 -rows sleep10,engine
//	go run ./e2e/bench -load -runs 1
//	go run ./e2e/bench -beside /usr/local/bin/orlop
//
// It needs root and what "make build images" makes. Nothing else should run on
// the machine meanwhile.
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/orlop/orlop/e2e/lab"
)

func main() {
	lab.BecomeReaper()
	runs := flag.Int("runs", 5, "how often each row is measured; medians are shown")
	rows := flag.String("rows", "", "rows to measure, with commas between: "+strings.Join(names(table()), ", ")+" (default: all)")
	load := flag.Bool("load", false, "measure what a machine is loaded with instead: "+strings.Join(names(loadTable()), ", "))
	other := flag.String("beside", "", "the program orlop of another `build`, or its directory: both are measured in turns, and ratios shown")
	check := flag.Bool("check", false, "with -beside: fail if a row is slower by more than noise")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	all := table()
	if *load {
		all = loadTable()
	}
	if err := run(ctx, all, *runs, *rows, *other, *check); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// row is a line of the table: it is measured whole, several times.
type row struct {
	name    string
	title   string
	columns []column
	measure func(context.Context, *bench) ([]float64, error) // one number a column
}

// column is one number: what it is, its unit, and what to reach.
type column struct {
	title string
	unit  string
	reach float64
}

// bench is the engine that is measured, and a directory for stacks.
type bench struct {
	engine *lab.Engine
	reaper *lab.Reaper
	bin    string
	images string
	dir    string
	repo   string
	number int
}

func names(rows []row) []string {
	var out []string
	for _, r := range rows {
		out = append(out, r.name)
	}
	return out
}

func run(ctx context.Context, rows []row, runs int, chosen, other string, check bool) (err error) {
	if chosen != "" {
		wanted := strings.Split(chosen, ",")
		for _, name := range wanted {
			if !slices.Contains(names(rows), name) {
				return fmt.Errorf("no row is named %q: there are %s", name, strings.Join(names(rows), ", "))
			}
		}
		rows = slices.DeleteFunc(rows, func(r row) bool { return !slices.Contains(wanted, r.name) })
	}
	if runs < 1 {
		return errors.New("-runs must be at least 1")
	}
	b, err := open(ctx, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if other != "" {
		bin, err := programsBeside(other)
		if err != nil {
			return err
		}
		o, err := open(ctx, bin)
		if err != nil {
			return err
		}
		return errors.Join(beside(ctx, b, o, rows, runs, check), o.close())
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintf(out, "work\t\tmeasured\treach\tof %d: least, most\n", runs)
	defer out.Flush()
	for _, r := range rows {
		fmt.Fprintf(os.Stderr, "measuring: %s\n", r.title)
		if err := b.row(ctx, out, r, runs); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return nil
}

// row measures one row and prints its lines.
func (b *bench) row(ctx context.Context, out *tabwriter.Writer, r row, runs int) error {
	samples := make([][]float64, len(r.columns))
	for range runs {
		values, err := r.measure(ctx, b)
		if err != nil {
			return err
		}
		for i, v := range values {
			samples[i] = append(samples[i], v)
		}
	}
	for i, c := range r.columns {
		s := slices.Sorted(slices.Values(samples[i]))
		title, verdict := "", ""
		if i == 0 {
			title = r.title
		}
		if c.isWorse(median(s)) {
			verdict = "  (not reached)"
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s, %s%s\n", title, c.title, c.show(median(s)), c.show(c.reach), c.show(s[0]), c.show(s[len(s)-1]), verdict)
	}
	return nil
}

// isWorse says that a number is not what is to be reached: of rates more is better.
func (c column) isWorse(v float64) bool {
	if c.isRate() {
		return v < c.reach
	}
	return v > c.reach
}

func (c column) isRate() bool { return c.unit == "1/s" || c.unit == "times" || c.unit == "MB/s" }

func (c column) show(v float64) string {
	switch c.unit {
	case "s":
		return fmt.Sprintf("%.3f s", v)
	case "MB":
		return fmt.Sprintf("%.0f MB", v)
	case "1/s":
		return fmt.Sprintf("%.0f 1/s", v)
	}
	return strings.TrimSpace(fmt.Sprintf("%.4g %s", v, c.unit))
}

func median(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// open makes an engine of the programs in a directory; "": of those in bin.
func open(ctx context.Context, bin string) (*bench, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("needs root: containers and networks are real")
	}
	repo, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	b := &bench{repo: repo, bin: cmp.Or(bin, filepath.Join(repo, "bin")), images: filepath.Join(repo, ".cache", "images")}
	if bin == "" { // another build may consist of other programs
		if err := lab.FindPrograms(b.bin); err != nil {
			return nil, err
		}
	}
	if b.reaper, err = lab.StartReaper(); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp("", "orlop-bench-"); err != nil {
		return nil, errors.Join(err, b.reaper.Close())
	}
	if err := b.prepare(ctx); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bench) prepare(ctx context.Context) error {
	var err error
	if b.engine, err = lab.NewEngine(b.bin, b.reaper); err != nil {
		return err
	}
	for _, name := range []string{"busybox", "debian", "golang"} {
		if _, err := b.engine.Run(ctx, "/", "image", "load", filepath.Join(b.images, name+".tar")); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) close() error {
	var err error
	if b.engine != nil {
		err = b.engine.Close(context.Background())
	}
	return errors.Join(err, b.reaper.Close(), os.RemoveAll(b.dir))
}

// timed runs orlop in a directory and gives the seconds that it took.
func (b *bench) timed(ctx context.Context, dir string, args ...string) (float64, error) {
	cmd := b.engine.Command(ctx, dir, args...)
	var complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &complaint // read as by a pipe; to keep megabytes would be measured, too
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began).Seconds()
	if err != nil {
		err = fmt.Errorf("orlop %s: %w\n%s", strings.Join(args, " "), err, complaint.String())
	}
	return took, err
}

// steps times commands one after the other; those that begin with ":" are run
// but not counted.
func (b *bench) steps(ctx context.Context, dir string, commands ...string) ([]float64, error) {
	var out []float64
	for _, c := range commands {
		silent := strings.HasPrefix(c, ":")
		took, err := b.timed(ctx, dir, strings.Fields(strings.TrimPrefix(c, ":"))...)
		if err != nil {
			return nil, err
		}
		if !silent {
			out = append(out, took)
		}
	}
	return out, nil
}

// stack makes a fresh directory, which also names the project, with files.
func (b *bench) stack(files map[string]string) (string, error) {
	b.number++
	dir := filepath.Join(b.dir, fmt.Sprintf("bench%d", b.number))
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}
