package cmd_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/cmd"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display/screentest"
	"github.com/orlop/orlop/planner"
)

// openTerminal opens a pseudo-terminal: its two ends.
func openTerminal(t *testing.T, columns, rows uint16) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("SKIPPED: no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

func TestUpOnAPseudoTerminalEndsInASummary(t *testing.T) {
	for _, size := range [][2]uint16{{100, 30}, {60, 8}, {40, 5}} {
		t.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(t *testing.T) {
			d := newDesk(t, shop).serve()
			d.engine.plan = &planner.Plan{Project: "shop"}
			for i := range 12 {
				id := fmt.Sprintf("create web/%d", i)
				d.engine.plan.Steps = append(d.engine.plan.Steps, &planner.Step{ID: id, Action: planner.Create, Resource: id[len("create "):], Service: "web", Number: i})
				for _, kind := range []planner.Outcome{planner.Started, planner.Done} {
					d.engine.events = append(d.engine.events, planner.Event{
						Time: then, Step: id, Action: planner.Create, Resource: id[len("create "):], Service: "web", Kind: kind, Text: strings.Repeat("long ", 60),
					})
				}
			}
			master, slave := openTerminal(t, size[0], size[1])
			screen := screentest.New(int(size[0]), int(size[1]))
			read := make(chan struct{})
			go func() {
				defer close(read)
				buf := make([]byte, 4096)
				for {
					n, err := master.Read(buf)
					if err != nil {
						return // the other end is closed
					}
					if _, err := screen.Write(buf[:n]); err != nil {
						t.Error(err)
					}
				}
			}()
			code := cmd.Run(context.Background(), []string{"up", "-d"}, cli.World{
				Version: "v1", Dir: d.dir, Environ: []string{"ORLOP_STATE=" + d.state, "TERM=xterm"}, Stdin: strings.NewReader(""),
				Stdout: slave, Stderr: slave, Signals: d.signals, Now: func() time.Time { return then },
			})
			slave.Close()
			<-read
			var rows []string
			for _, text := range screen.Rows() {
				if text != "" {
					rows = append(rows, text)
				}
			}
			if code != 0 || len(rows) == 0 || !strings.HasPrefix(rows[len(rows)-1], " ✓ shop is up in") {
				t.Errorf("exit code %d, the screen is\n%s", code, strings.Join(rows, "\n"))
			}
			for _, row := range rows[:len(rows)-1] {
				if !strings.HasPrefix(row, " ✓ ") && !strings.HasPrefix(row, " shop  ") {
					t.Errorf("a row is %q: a line has folded", row)
				}
			}
		})
	}
}
