package watch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/terminal"
	"github.com/orlop/orlop/cmd/watch/loop"
)

// Menu is the line of keys below a watch on a terminal, and what they do.
type Menu struct {
	*cli.Invocation
	in        *os.File
	line      *display.BottomLine
	release   func()
	reading   sync.WaitGroup
	closed    chan struct{} // closed when no more keys are wanted
	wake      *os.File      // whose end, too, wakes the reader of keys
	over      chan struct{} // closed when nobody reads keys any more
	keys      chan byte
	questions chan question
	commands  chan loop.Command

	services func() []string
	showPlan func(context.Context) error
	LogsOf   func(ctx context.Context, service string) // of "" all, or none where no logs are shown
	NoLogs   string                                    // what "" is called
	Quit     func()
	QuitItem string
	Detach   func() // nil: quitting leaves the services as they are

	plain  bool // nothing is watched
	paused bool
	logs   string // whose are shown
	asked  *question
}

// question is one that the menu is to ask.
type question struct {
	text   string
	answer chan bool
}

// OpenMenu takes the terminal for a menu; without one, it gives nil. From
// then on what is written to the terminal stands above the menu's line.
func OpenMenu(inv *cli.Invocation) *Menu {
	if inv.KeyMode == nil || inv.IsSilent() || inv.Env["TERM"] == "dumb" || inv.ANSI == "never" {
		return nil
	}
	in, ok := inv.Stdin.(*os.File)
	if !ok || !display.IsTerminal(in) || !display.IsTerminal(inv.Stderr) {
		return nil
	}
	woken, wake, err := os.Pipe()
	if err != nil {
		return nil
	}
	release, err := inv.KeyMode(in)
	if err != nil {
		woken.Close()
		wake.Close()
		return nil
	}
	m := &Menu{
		Invocation: inv, in: in, line: inv.Output.KeepLine(), release: release, wake: wake, closed: make(chan struct{}), over: make(chan struct{}),
		keys: make(chan byte), questions: make(chan question), commands: make(chan loop.Command),
	}
	m.reading.Go(func() { m.read(in, woken) })
	return m
}

// read passes keys on until the menu is closed. A read of a terminal can't be
// called off, so it begins only when there is something to read.
func (m *Menu) read(in, woken *os.File) {
	defer close(m.keys)
	defer woken.Close()
	var key [1]byte
	for {
		if !readable(in, woken) {
			return
		}
		if n, err := in.Read(key[:]); n == 0 || err != nil {
			return
		}
		select {
		case m.keys <- key[0]:
		case <-m.closed:
			return
		}
	}
}

// readable waits for a file to have something to read, or to have ended. It
// is false when the other one comes first.
func readable(f, other *os.File) bool {
	fds := []unix.PollFd{{Fd: int32(other.Fd()), Events: unix.POLLIN}, {Fd: int32(f.Fd()), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return err == nil && fds[0].Revents == 0
	}
}

// run shows the line and does what the keys say until the context ends.
func (m *Menu) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer close(m.over)
	defer m.line.Set("")
	defer m.LogsOf(ctx, "")
	defer cancel()
	for {
		m.line.Set(m.text())
		questions := m.questions
		if m.asked != nil {
			questions = nil // one at a time
		}
		select {
		case <-ctx.Done():
			return
		case q := <-questions:
			m.asked = &q
		case <-m.Resized:
			terminal.RenewKeyMode(m.in)
		case key, ok := <-m.keys:
			if !ok {
				return
			}
			m.press(ctx, key, &wg)
		}
	}
}

// Attend is the menu of what shows logs and watches nothing, until the context ends.
func (m *Menu) Attend(ctx context.Context, services []string) {
	m.plain, m.services = true, func() []string { return services }
	m.run(ctx)
}

// Close gives the terminal back.
func (m *Menu) Close() {
	if m != nil {
		m.line.Set("")
		close(m.closed)
		m.wake.Close()
		m.reading.Wait()
		m.release()
	}
}

// text is the line.
func (m *Menu) text() string {
	st := m.ErrStyle()
	if m.asked != nil {
		return st.Yellow(" ? ") + st.Bold(m.asked.text+" [y/N]")
	}
	pause := "pause"
	if m.paused {
		pause = "resume"
	}
	items := []string{"r rebuild", "s restart", "p " + pause, "v plan", "l logs: " + cmp.Or(m.logs, m.NoLogs)}
	if m.plain {
		items = items[len(items)-1:]
	}
	if m.Detach != nil {
		items = append(items, "d detach")
	}
	items = append(items, m.QuitItem)
	for i, item := range items {
		key, does, _ := strings.Cut(item, " ")
		items[i] = st.Bold(key) + " " + st.Dim(does)
	}
	return " " + strings.Join(items, st.Dim("  ·  "))
}

// press does what a key says. What may take long is done beside the menu.
func (m *Menu) press(ctx context.Context, key byte, wg *sync.WaitGroup) {
	if m.asked != nil {
		m.asked.answer <- key == 'y' || key == 'Y'
		m.asked = nil
		return
	}
	if m.plain && strings.IndexByte("rspv", key) >= 0 {
		return
	}
	switch key {
	case 'r':
		m.command(ctx, loop.Rebuild)
	case 's':
		m.command(ctx, loop.RestartAll)
	case 'p':
		m.paused = !m.paused
		m.command(ctx, loop.Pause)
	case 'v':
		wg.Go(func() {
			if err := m.showPlan(ctx); err != nil && ctx.Err() == nil {
				fmt.Fprintln(m.Stderr, m.ErrStyle().Red(err.Error()))
			}
		})
	case 'l':
		m.logs = nextOf(m.services(), m.logs)
		m.LogsOf(ctx, m.logs)
	case 'd':
		if m.Detach != nil {
			m.Detach()
		}
	case 'q':
		m.Quit()
	}
}

func (m *Menu) command(ctx context.Context, c loop.Command) {
	select {
	case m.commands <- c:
	case <-ctx.Done():
	}
}

// ask has a question answered by a key.
func (m *Menu) ask(ctx context.Context, text string) bool {
	q := question{text: text, answer: make(chan bool, 1)}
	select {
	case m.questions <- q:
	case <-m.over:
		return false
	case <-ctx.Done():
		return false
	}
	select {
	case yes := <-q.answer:
		word := "no"
		if yes {
			word = "yes"
		}
		fmt.Fprintf(m.Stderr, "%s %s\n", text, word)
		return yes
	case <-m.over:
		return false
	case <-ctx.Done():
		return false
	}
}

// nextOf is the name after one of names; "" is before the first and after the
// last.
func nextOf(names []string, name string) string {
	if name == "" && len(names) > 0 {
		return names[0]
	}
	if i := slices.Index(names, name); i >= 0 && i+1 < len(names) {
		return names[i+1]
	}
	return ""
}

// followedLogs shows the logs of one service at a time beside a watch that
// shows none by itself.
type followedLogs struct {
	*cli.Invocation
	client  *api.Client
	project string
	wg      sync.WaitGroup
	cancel  context.CancelFunc
}

// pastLines is how much of a service's past is shown with what it prints now.
const pastLines = 10

func (f *followedLogs) of(ctx context.Context, service string) {
	if f.cancel != nil {
		f.cancel()
		f.wg.Wait()
		f.cancel = nil
	}
	if service == "" {
		return
	}
	ctx, f.cancel = context.WithCancel(ctx)
	printer := f.NewLogPrinter(display.LogFormat{}, nil)
	req := &api.LogsRequest{Project: f.project, Services: []string{service}, Follow: true, Tail: pastLines}
	f.wg.Go(func() {
		err := cli.PrintLines(ctx, f.client, req, printer)
		if err != nil && ctx.Err() == nil {
			fmt.Fprintln(f.Stderr, f.ErrStyle().Red(cli.Cause(ctx, err).Error()))
		}
	})
}
