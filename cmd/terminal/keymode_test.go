package terminal

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// holdTerminal has the test program take its terminal and wait to be killed.
const holdTerminal = "hold-terminal"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case holdTerminal:
			_, err := KeyMode(os.Stdin)
			fmt.Println("holds", err)
			select {}
		case "guard-terminal":
			if Guard(os.Stdin, os.Stdout) != nil {
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pseudoTerminal is a terminal and the end that it is seen and typed at.
func pseudoTerminal(t *testing.T) (keys, tty *os.File) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("SKIPPED: no pseudo-terminals here: %v", err)
	}
	number, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	check(t, err)
	check(t, unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0))
	check(t, unix.IoctlSetWinsize(int(keys.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100}))
	tty, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	check(t, err)
	return keys, tty
}

func TestATerminalIsGivenBackWhateverEndsTheCommand(t *testing.T) {
	keys, tty := pseudoTerminal(t)
	before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	check(t, err)
	c := exec.Command(os.Args[0], holdTerminal)
	c.Stdin = tty
	c.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	out, err := c.StdoutPipe()
	check(t, err)
	check(t, c.Start())
	defer keys.Close()
	word, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || word != "holds <nil>\n" {
		t.Fatalf("the terminal is not held: %q, %v", word, err)
	}
	during, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	check(t, err)
	if during.Lflag&(unix.ICANON|unix.ECHO) != 0 || during.Lflag&unix.ISIG == 0 {
		t.Errorf("the mode is %x: keys do not come one by one, or signals are lost", during.Lflag)
	}
	guard := childOf(t, c.Process.Pid)
	check(t, c.Process.Kill())
	_ = c.Wait()
	ended := []unix.PollFd{{Fd: int32(guard), Events: unix.POLLIN}}
	if n, err := unix.Poll(ended, 10_000); n != 1 || err != nil {
		t.Fatalf("the guard does not end: %v", err)
	}
	after, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	check(t, err)
	if *after != *before {
		t.Errorf("the terminal was\n%+v and is\n%+v", *before, *after)
	}
}

// childOf opens the one child of a process.
func childOf(t *testing.T, pid int) (fd int) {
	t.Helper()
	var children string
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range tasks {
		text, _ := os.ReadFile(f)
		children += string(text)
	}
	child, err := strconv.Atoi(strings.TrimSpace(children))
	check(t, err)
	fd, err = unix.PidfdOpen(child, 0)
	check(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}
