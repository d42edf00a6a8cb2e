package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
)

// Two builds are compared within one run, a measurement of the one after one of the other: what the machine does
// meanwhile is then the same for both. What counts is the ratio within each pair.

// slower is from which ratio on a row counts as slower, if it is so in each pair: what is below is noise.
const slower = 1.10

// programsBeside is the directory of the other build: that of its program orlop.
func programsBeside(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("cannot compare with %s: %w", path, errors.Unwrap(err))
	}
	if !info.IsDir() {
		return filepath.Dir(path), nil
	}
	if _, err := os.Stat(filepath.Join(path, "bin", "orlop")); err == nil {
		return filepath.Join(path, "bin"), nil
	}
	return path, nil
}

// beside measures rows of both builds and prints their ratios. With check it is an error that one has become slower, or
// that none could be compared.
func beside(ctx context.Context, this, other *bench, rows []row, runs int, check bool) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintf(out, "work\t\tother\tthis\tthis / other, of %d: median, least, most\n", runs)
	defer out.Flush()
	var worse []string
	compared := 0
	for _, r := range rows {
		fmt.Fprintf(os.Stderr, "measuring: %s\n", r.title)
		of, err := pairs(ctx, this, other, r, runs)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		if of == nil {
			fmt.Fprintf(out, "%s\t\tcan't do it\n", r.title)
			continue
		}
		compared++
		for i, c := range r.columns {
			title := ""
			if i == 0 {
				title = r.title
			}
			p := of[i]
			ratios := p.ratios()
			verdict := ""
			if c.isSlower(ratios) {
				verdict = "  (slower)"
				worse = append(worse, fmt.Sprintf("%s, %s: %.2f times", r.title, c.title, median(ratios)))
			}
			fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%.2f, %.2f, %.2f%s\n", title, c.title, c.show(middle(p.other)), c.show(middle(p.this)),
				median(ratios), ratios[0], ratios[len(ratios)-1], verdict)
		}
	}
	if check && compared == 0 {
		return errors.New("the other build can do none of what is measured: nothing was compared")
	}
	if check && len(worse) > 0 {
		out.Flush()
		return fmt.Errorf("slower than the other build by more than noise:\n  %s", joinLines(worse))
	}
	return nil
}

func joinLines(lines []string) (text string) {
	for i, l := range lines {
		if i > 0 {
			text += "\n  "
		}
		text += l
	}
	return text
}

// pair has the measurements of a column, the n-th of one build beside the n-th of the other.
type pair struct{ this, other []float64 }

// ratios are those of each pair, sorted.
func (p pair) ratios() []float64 {
	var out []float64
	for i := range p.this {
		switch {
		case p.other[i] == p.this[i]:
			out = append(out, 1)
		case p.other[i] == 0: // it took no time that could be measured
			out = append(out, slower)
		default:
			out = append(out, p.this[i]/p.other[i])
		}
	}
	slices.Sort(out)
	return out
}

func middle(values []float64) float64 { return median(slices.Sorted(slices.Values(values))) }

// isSlower says that this build is worse in each pair, and by more than noise in the middle.
func (c column) isSlower(sorted []float64) bool {
	first, last := sorted[0], sorted[len(sorted)-1]
	if c.isRate() {
		return 1/median(sorted) >= slower && last < 1
	}
	return median(sorted) >= slower && first > 1
}

// pairs measures a row of both, in turns, each of them first as often as the other; nil where the other build can't do
// what is measured. What it could do once it is to do again.
func pairs(ctx context.Context, this, other *bench, r row, runs int) ([]pair, error) {
	of := make([]pair, len(r.columns))
	for n := range runs {
		var theirs, ours []float64
		turns := []func() error{
			func() (err error) {
				if theirs, err = r.measure(ctx, other); err != nil {
					return &otherError{err}
				}
				return nil
			},
			func() (err error) { ours, err = r.measure(ctx, this); return err },
		}
		if n%2 == 1 {
			slices.Reverse(turns)
		}
		for _, measure := range turns {
			err := measure()
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if _, isTheirs := errors.AsType[*otherError](err); isTheirs && n == 0 {
				fmt.Fprintln(os.Stderr, err)
				return nil, nil
			}
			if err != nil {
				return nil, err
			}
		}
		for i := range r.columns {
			of[i].this, of[i].other = append(of[i].this, ours[i]), append(of[i].other, theirs[i])
		}
	}
	return of, nil
}

// otherError is the error of a measurement of the other build.
type otherError struct{ error }

func (e *otherError) Error() string { return fmt.Sprintf("the other build: %v", e.error) }
func (e *otherError) Unwrap() error { return e.error }
