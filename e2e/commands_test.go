package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/orlop/orlop/e2e/lab"
)

type command = func(ts *testscript.TestScript, neg bool, args []string)

// commands are those that scripts have beside testscript's own.
func commands() map[string]command {
	return map[string]command{
		"code":       exitCode,
		"shows":      shows,
		"http":       request,
		"post":       post,
		"follow":     followNews,
		"kill9":      killEngine,
		"reboot":     rebootMachine,
		"hang":       hang,
		"engine":     ownEngine,
		"snapshot":   snapshot,
		"moments":    moments,
		"crashes":    killAnywhere,
		"socket":     makeSocket,
		"arm":        armFailpoint,
		"passed":     awaitFailpoint,
		"same":       sameAsSnapshot,
		"download":   downloads,
		"ask":        ask,
		"hostns":     hostns,
		"outside":    outside,
		"bigfile":    bigFile,
		"occupy":     occupy,
		"emulate":    emulate,
		"filter":     filterOfContainer,
		"proxy":      startProxy,
		"spoof":      spoof,
		"nameserver": nameServer,
		"receive":    receive,
		"registry":   askRegistry,
		"nowhere":    nowhere,
		"await":      awaitLine,
		"signal":     signalBackground,
		"setenv":     setFromStdout,
		"took":       took,
		"subst":      subst,
	}
}

// use checks the number of arguments of a command.
func use(ts *testscript.TestScript, neg bool, args []string, least, most int, usage string) {
	if neg {
		ts.Fatalf("! %s: has no meaning", usage)
	}
	if len(args) < least || most >= 0 && len(args) > most {
		ts.Fatalf("usage: %s", usage)
	}
}

// exitCode: code N PROGRAM ARG... runs a program that must end with N.
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 2, -1, "code N PROGRAM [ARG...]")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// masks are what differs from run to run in what the command prints.
func masks() []struct {
	from *regexp.Regexp
	to   string
} {
	return []struct {
		from *regexp.Regexp
		to   string
	}{
		{regexp.MustCompile(`\x1b\[[0-9;]*m`), ""},
		{regexp.MustCompile(`\b\d+(\.\d+)? ?(ms|s)\b`), "T"},
		{regexp.MustCompile(`\b\d+(\.\d+)?/?\d*(\.\d+)? (kB|MB|B)\b`), "N B"},
		{regexp.MustCompile(`█+░*|░+`), "BAR"},
		{regexp.MustCompile(`process \d+`), "process N"},
		{regexp.MustCompile(`\b10\.\d+\.\d+\.\d+/\d+`), "SUBNET"},
		{regexp.MustCompile(`sha256:[0-9a-f]{12,64}`), "DIGEST"},
		{regexp.MustCompile(`[ \t]+`), " "},
		{regexp.MustCompile(`(?m) +$`), ""},
	}
}

func mask(text string) string {
	for _, m := range masks() {
		text = m.from.ReplaceAllString(text, m.to)
	}
	return strings.TrimSpace(text)
}

// shows: shows [-anyorder] stdout|stderr FILE holds what was printed against
// the file, with variables filled in; times, sizes and white space don't
// count, and with -anyorder the order of lines of things that go on side by
// side.
func shows(ts *testscript.TestScript, neg bool, args []string) {
	anyOrder := len(args) > 0 && args[0] == "-anyorder"
	if anyOrder {
		args = args[1:]
	}
	use(ts, neg, args, 2, 2, "shows [-anyorder] stdout|stderr FILE")
	got := mask(ts.ReadFile(args[0]))
	want := mask(os.Expand(ts.ReadFile(args[1]), ts.Getenv))
	if anyOrder {
		got, want = sorted(got), sorted(want)
	}
	if got != want {
		ts.Fatalf("%s is not what %s says:\n--- want\n%s\n--- got\n%s", args[0], args[1], want, got)
	}
}

func sorted(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// request: http URL [REGEXP] gets a page, once; "! http" wants it to fail.
func request(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: http URL [REGEXP]")
	}
	body, err := fetch(background(), http.DefaultTransport, args[0], "")
	switch {
	case neg && err == nil:
		ts.Fatalf("%s answers, and must not", args[0])
	case neg:
		return
	case err != nil:
		ts.Fatalf("%v", err)
	}
	fmt.Fprint(ts.Stdout(), body)
	if len(args) == 2 && !regexp.MustCompile(args[1]).MatchString(body) {
		ts.Fatalf("%s says %q, want a match of %q", args[0], body, args[1])
	}
}

// post: post URL BODY sends JSON.
func post(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 2, 2, "post URL BODY")
	body, err := fetch(background(), http.DefaultTransport, args[0], args[1])
	ts.Check(err)
	fmt.Fprint(ts.Stdout(), body)
}

// followNews: follow NEWS URL REGEXP gets a page again whenever a stream of
// events says that there is news, until it matches.
func followNews(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 3, 3, "follow NEWS URL REGEXP")
	ctx, cancel := context.WithTimeout(background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, args[0], nil)
	ts.Check(err)
	resp, err := http.DefaultTransport.RoundTrip(req)
	ts.Check(err)
	defer resp.Body.Close()
	pattern := regexp.MustCompile(args[2])
	body := ""
	for events := bufio.NewScanner(resp.Body); events.Scan(); {
		if body, err = fetch(ctx, http.DefaultTransport, args[1], ""); err == nil && pattern.MatchString(body) {
			return
		}
	}
	ts.Fatalf("%s never says %q, its last words were %q (%v)", args[1], args[2], body, err)
}

// fetch gets a page, or posts a body.
func fetch(ctx context.Context, transport http.RoundTripper, url, post string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	method := http.MethodGet
	if post != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(post))
	if err != nil {
		return "", err
	}
	req.Close = true
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 400 {
		err = fmt.Errorf("%s: %s: %s", url, resp.Status, body)
	}
	return string(body), err
}

// killEngine: kill9 engine|both sends SIGKILL to the engine, or to it and its keeper.
func killEngine(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 1, 1, "kill9 engine|both")
	ts.Check(sceneOf(ts).engine.Kill(background(), args[0] == "both"))
}

// rebootMachine: reboot takes what a restart of the machine takes of the engine;
// see lab.Engine.Reboot.
func rebootMachine(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 0, 0, "reboot")
	ts.Check(sceneOf(ts).engine.Reboot())
}

// ownEngine: engine new|failpoints|small [MEGABYTES] [IMAGE...] goes on with an
// engine of the script's own that has these base images; small is one whose root is
// a file system of so many megabytes, failpoints one whose programs have failpoints.
func ownEngine(ts *testscript.TestScript, neg bool, args []string) {
	const usage = "engine new|failpoints|small [MEGABYTES] [IMAGE...]"
	use(ts, neg, args, 1, -1, usage)
	size, bin := 0, programs()
	var err error
	switch args[0] {
	case "small":
		use(ts, neg, args, 2, -1, usage)
		size, err = strconv.Atoi(args[1])
		args = args[1:]
	case "failpoints":
		bin, err = stage.failpointPrograms()
	}
	ts.Check(err)
	sceneOf(ts).ownEngine(ts, bin, size, args[1:])
}

// snapshot: snapshot NAME notes what the machine has of the engine.
func snapshot(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 1, 1, "snapshot NAME")
	s := sceneOf(ts)
	s.snapshots[args[0]] = lab.Things(s.engine)
}

// sameAsSnapshot: same [-within SECONDS] NAME fails, and says by what, if the
// machine has more or less of the engine than it had; with -within the engine
// has so long for what nobody waits for.
func sameAsSnapshot(ts *testscript.TestScript, neg bool, args []string) {
	limit := time.Duration(0)
	if len(args) == 3 && args[0] == "-within" {
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		limit, args = time.Duration(n)*time.Second, args[2:]
	}
	use(ts, neg, args, 1, 1, "same [-within SECONDS] NAME")
	s := sceneOf(ts)
	if diff := differs(s.engine, s.snapshots[args[0]], limit); len(diff) > 0 {
		ts.Fatalf("not as at %s:\n%s", args[0], strings.Join(diff, "\n"))
	}
}

// bigFile: bigfile FILE MEGABYTES makes a file whose bytes differ everywhere.
func bigFile(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 2, 2, "bigfile FILE MEGABYTES")
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	_, err = io.CopyN(f, noise{}, int64(size)<<20)
	ts.Check(err)
}

// nowhere: nowhere [-memory | -but REGEXP] TEXT fails, and says where, if the engine's
// files or the arguments and environments of its processes have a text, or with
// -memory their memory. With -but it must be there where the expression matches, and
// there alone. The text is given backwards, so that the script itself doesn't put it
// there.
func nowhere(ts *testscript.TestScript, neg bool, args []string) {
	memory, but := false, ""
	switch {
	case len(args) == 2 && args[0] == "-memory":
		memory, args = true, args[1:]
	case len(args) == 3 && args[0] == "-but" && !neg:
		but, args = args[1], args[2:]
	}
	if len(args) != 1 {
		ts.Fatalf("usage: nowhere [-memory | -but REGEXP] TEXT")
	}
	text := []rune(args[0])
	slices.Reverse(text)
	e := sceneOf(ts).engine
	found := lab.Search(e, string(text), memory)
	// What is no longer in use is written over by a goroutine that nobody waits for.
	for end := time.Now().Add(10 * time.Second); memory && !neg && len(found) > 0 && time.Now().Before(end); {
		found = lab.Search(e, string(text), memory)
	}
	if but != "" {
		all := len(found)
		found = slices.DeleteFunc(found, regexp.MustCompile(but).MatchString)
		if len(found) == all {
			ts.Fatalf("it is not where it belongs: %s", but)
		}
	}
	if (len(found) > 0) != neg {
		ts.Fatalf("it is in: %s", strings.Join(found, ", "))
	}
}

// askRegistry: registry asked KIND MOST fails if more requests came for
// repositories of a kind, registry taken KIND MOST if more bytes were sent to them;
// registry renew NAME TEXT puts another image there for each text; registry elsewhere fails if nobody was led to the
// registry's other port, or if it was sent credentials.
func askRegistry(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 1, -1, "registry asked KIND MOST | registry taken KIND MOST | registry renew NAME TEXT | registry again KIND BYTES | registry elsewhere | registry stack NAME FILE...")
	if args[0] == "stack" && len(args) > 2 {
		publishStack(ts, args[1], args[2:])
		return
	}
	if args[0] == "again" && len(args) == 3 {
		most, err := strconv.Atoi(args[2])
		ts.Check(err)
		if n := stage.registry.SentAgain(args[1]); n > most {
			ts.Fatalf("the registry sent %d bytes of %s/ again, want at most %d", n, args[1], most)
		}
		return
	}
	if args[0] == "renew" && len(args) == 3 {
		ts.Check(stage.registry.Renew(archive("busybox"), args[1], args[2]))
		return
	}
	if args[0] == "taken" && len(args) == 3 {
		most, err := strconv.Atoi(args[2])
		ts.Check(err)
		if n := stage.registry.Taken(args[1]); n > most || n == 0 {
			ts.Fatalf("%d bytes were sent to %s/, want at most %d, and some", n, args[1], most)
		}
		return
	}
	if args[0] == "asked" && len(args) == 3 {
		most, err := strconv.Atoi(args[2])
		ts.Check(err)
		if n := stage.registry.Asked(args[1]); most > 0 && n == 0 || n > most {
			ts.Fatalf("the registry was asked %d times for %s/, want at most %d", n, args[1], most)
		}
		return
	}
	sent := stage.registry.SentElsewhere()
	if len(sent) == 0 || slices.ContainsFunc(sent, func(s string) bool { return s != "" }) {
		ts.Fatalf("the other port was sent the credentials %q", sent)
	}
}

// occupy: occupy PORT[/udp] [ADDRESS] takes a port until the script ends.
func occupy(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 1, 2, "occupy PORT[/udp] [ADDRESS]")
	port, protocol, _ := strings.Cut(args[0], "/")
	address := net.JoinHostPort(append(args[1:], "")[0], port)
	if protocol == "udp" {
		c, err := net.ListenPacket("udp", address)
		ts.Check(err)
		ts.Defer(func() { c.Close() })
		return
	}
	l, err := net.Listen("tcp", address)
	ts.Check(err)
	ts.Defer(func() { l.Close() })
}

// makeSocket: socket FILE makes a socket that nobody listens at any more.
func makeSocket(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 1, 1, "socket FILE")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: ts.MkAbs(args[0]), Net: "unix"})
	ts.Check(err)
	l.SetUnlinkOnClose(false)
	ts.Check(l.Close())
}

// awaitLine: await FILE REGEXP returns when a line of a file matches that a
// background command writes. The file must exist already; it may be a FIFO.
func awaitLine(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 2, 2, "await FILE REGEXP")
	f, err := follow(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	pattern := regexp.MustCompile(args[1])
	if text, err := f.until(pattern, 60*time.Second); err != nil {
		ts.Fatalf("%s has no line that matches %q: %v\n%s", args[0], args[1], err, text)
	}
}

// signalBackground: signal SIGNAL sends a signal to every background command.
func signalBackground(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 1, 1, "signal INT|TERM|HUP")
	signals := map[string]os.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP}
	for _, c := range ts.BackgroundCmds() {
		if err := c.Process.Signal(signals[args[0]]); err != nil && !errors.Is(err, os.ErrProcessDone) {
			ts.Fatalf("%v", err)
		}
	}
}

// setFromStdout: setenv NAME [REGEXP] sets a variable to what was printed, or
// to the first group of a match in it.
func setFromStdout(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 1, 2, "setenv NAME [REGEXP]")
	text := strings.TrimSpace(ts.ReadFile("stdout"))
	if len(args) == 2 {
		m := regexp.MustCompile(args[1]).FindStringSubmatch(text)
		if m == nil {
			ts.Fatalf("%q is not in %q", args[1], text)
		}
		text = m[len(m)-1]
	}
	ts.Setenv(args[0], text)
}

// took: took < SECONDS PROGRAM ARG... runs a program that must end in less
// time, or with > in more.
func took(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 3, -1, "took <|> SECONDS PROGRAM [ARG...]")
	limit, err := strconv.ParseFloat(args[1], 64)
	ts.Check(err)
	began := time.Now()
	ts.Check(ts.Exec(args[2], args[3:]...))
	if took := time.Since(began).Seconds(); args[0] == "<" && took >= limit || args[0] == ">" && took <= limit {
		ts.Fatalf("%s took %.2f s, which is not %s %s s", strings.Join(args[2:], " "), took, args[0], args[1])
	}
}

// subst: subst FILE OLD NEW replaces text in a file, where it must be.
func subst(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 3, 3, "subst FILE OLD NEW")
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%q is not in %s", args[1], args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(text, args[1], args[2])), 0o644))
}

// hostns: hostns makes a machine of a network namespace, with FORWARD set to
// DROP as Docker and ufw do, and an engine on it; see lab.Host.
func hostns(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 0, -1, "hostns [IMAGE...]")
	s := sceneOf(ts)
	h, err := lab.NewHost(fmt.Sprintf("oe-%d-%d", os.Getpid()%10000, stage.number()), stage.reaper)
	ts.Check(err)
	s.host = h
	ts.Setenv("HOSTNS", h.Path())
	server := &http.Server{Handler: http.FileServer(http.Dir(filepath.Join(ts.Getenv("WORK"), "outside")))}
	ts.Defer(func() { server.Close() })
	for _, address := range []string{lab.OutsideAddress, lab.OutsideAddress6} {
		l, err := h.Listen(net.JoinHostPort(address, "8000"))
		ts.Check(err)
		go server.Serve(l)
	}
	s.ownEngine(ts, programs(), 0, args)
}

// outside: outside URL [REGEXP] gets a page from the outside of the host.
func outside(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: outside URL [REGEXP]")
	}
	t := &http.Transport{DialContext: sceneOf(ts).host.DialOutside}
	defer t.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(background(), 5*time.Second)
	defer cancel()
	body, err := fetch(ctx, t, args[0], "")
	switch {
	case neg && err == nil:
		ts.Fatalf("%s answers to the outside, and must not", args[0])
	case neg:
		return
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if len(args) == 2 && !regexp.MustCompile(args[1]).MatchString(body) {
		ts.Fatalf("%s says %q, want a match of %q", args[0], body, args[1])
	}
}
