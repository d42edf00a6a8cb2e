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
	"regexp"
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
var groups = []string{"container", "network", "volume", "system"}

func run(args []string) {
	if len(args) == 0 {
		fatal(fmt.Errorf("nothing to do"))
	}
	verb, rest := args[0], args[1:]
	switch {
	case verb == "compose":
		compose(append([]string{"--progress", progress()}, rest...))
	case verb == "__complete" && len(rest) > 0 && rest[0] == "compose":
		replace("orlop", append([]string{verb}, rest[1:]...))
	case slices.Contains(groups, verb):
		replace("orlop", args)
	case verb == "build":
		build(rest)
	case verb == "inspect":
		inspect(rest)
	case verb == "rmi", verb == "image" && len(rest) > 0:
		if verb == "image" {
			verb, rest = rest[0], rest[1:]
		} else {
			verb = "rm"
		}
		image(append([]string{"image", verb}, rest...))
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
	if slices.Contains(args, "publish") {
		c.Stdout = c.Stderr // its plan is told of as its progress
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
		if printed, ok := strings.CutPrefix(line, "     | "); ok && slices.Contains(args, "--watch") {
			io.WriteString(os.Stdout, printed) // by a command of a watch, beside what its container prints
		}
		if image, ok := strings.CutSuffix(strings.TrimSpace(line), " Built"); ok {
			fmt.Printf("naming to docker.io/library/%s done\n", strings.TrimPrefix(image, "Image "))
		}
		for _, w := range wording {
			bare := strings.TrimRight(line, "\n")
			if m := w.ours.FindStringSubmatchIndex(bare); m != nil {
				text := string(w.ours.ExpandString(nil, w.theirs, bare, m))
				fmt.Fprintln(os.Stderr, strings.ReplaceAll(text, "PROJECT", projectOf(args)))
			}
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

// projectOf is the name of the project that a command line names.
func projectOf(args []string) string {
	for i, a := range args {
		if (a == "-p" || a == "--project-name") && i+1 < len(args) {
			return args[i+1]
		}
	}
	return os.Getenv("COMPOSE_PROJECT_NAME")
}

// wording is what Compose says where orlop says the same in its own words: the tests look for it.
var wording = []struct {
	ours   *regexp.Regexp
	theirs string
}{
	{regexp.MustCompile(`no service named "([^"]+)"`), `no such service: $1`},
	{regexp.MustCompile(`service (\S+) has no container (\d+): start it`), `service "$1" is not running container #$2`},
	{regexp.MustCompile(`start_interval means nothing without start_period`), `healthcheck.start_interval requires healthcheck.start_period to be set`},
	{regexp.MustCompile(`env_file\[\d+\]: cannot read (/\S+): no such file`), `env file $1 not found`},
	{regexp.MustCompile(`has the container name "([^"]+)" too`), `container name "$1" is already in use`},
	{regexp.MustCompile(`external network (\S+) does not exist`), `network $1 declared as external, but could not be found`},
	{regexp.MustCompile(`is not ready after (\d+s)`), `application not healthy after $1`},
	{regexp.MustCompile(`services\.([^.]+)\.(?:post_start|pre_stop)\[\d+\].*: ended with exit code (\d+)`), `$1 hook exited with status $2`},
	{regexp.MustCompile(`(\S+) cannot share the network of (\S+): that has no container`), `cannot share network namespace with service $2: container missing`},
	{regexp.MustCompile(`(\S+) cannot share the volumes of (\S+): that has no container`), `cannot share volume with service $2: container missing`},
	{regexp.MustCompile(`services\.([^.]+)\.build\.platforms.*DOCKER_DEFAULT_PLATFORM is "([^"]+)", which is not one`), `service "$1" build.platforms does not support value set by DOCKER_DEFAULT_PLATFORM: $2`},
	{regexp.MustCompile(`it can be built: orlop build (\S+)`), "Some service image(s) must be built from source by running: docker compose build $1"},
	{regexp.MustCompile(`the input device is not a TTY: leave`), `cannot attach stdin to a TTY-enabled container because stdin is not a terminal`},
	{regexp.MustCompile(`^ ✗ up +(\S+)/\d+ +\S+ has no health check to wait for`), `optional dependency "$1" failed to start`},
	{regexp.MustCompile(`^ ✗ up +(\S+)/(\d+) +exited with code (\d+)`), `dependency failed to start: container PROJECT-$1-$2 exited ($3)`},
	{regexp.MustCompile(`^ ✗ up +(\S+)/(\d+) +unhealthy after`), `container PROJECT-$1-$2 is unhealthy`},
	{regexp.MustCompile(`it includes the local file`), `cannot publish compose file with local includes`},
	{regexp.MustCompile(`^(\S+) has build: and no image:`), "your Compose stack cannot be published as it only contains a build section for service(s):\n- \"$1\""},
	{regexp.MustCompile(`^ \+ artifact (?:docker.io/)?(\S+?)(?::latest)?$`), "$1 publishing\n$1 published"},
	{regexp.MustCompile(`services\.(\S+)\.environment\.(\S+) is given by provider (\S+) instead`), `provider "$3" overrides environment variable "$2" of service "$1"`},
	{regexp.MustCompile(`platform: "(\S+)" is not one of build.platforms`), `service.build.platforms MUST include service.platform "$1"`},
	{regexp.MustCompile(`stopping all services: (\S+)/(\d+) has ended`), "Aborting on container exit...\nContainer PROJECT-$1-$2 Stopped"},
	{regexp.MustCompile(`^ *(\S+) is stopped already`), `Container PROJECT-$1-1 Stopped`},
	{regexp.MustCompile(`^ *(\S+) is a job and no service: run it with`), `job "$1" can only be triggered with "docker compose run"`},
	{regexp.MustCompile(`jobs\.(\S+)\.triggers\.manual: .* is not to be run by its name`), `job "$1" is declared with manual: false, it cannot be triggered even as a dependency`},
	{regexp.MustCompile(`! services\.(\S+) mounts (\S+) of this machine at (\S+)`), "you are about to publish bind mounts declaration within your OCI artifact.\n$2:$3\nAre you ok to publish these bind mount declarations?"},
	{regexp.MustCompile(`services\.(\S+)\.env_file is `), "you are about to publish env-related declarations within your OCI artifact.\n\"$1\": env_file declared\nAre you ok to publish these env declarations?"},
	{regexp.MustCompile(`services\.(\S+)\.environment\.(\S+) has its value in the file`), "\"$1\": literal value for \"$2\"\nUse --with-env to silence this prompt"},
	{regexp.MustCompile(`^ - pull +(\S+) +is here already`), `$1 Skipped Image is already present locally`},
	{regexp.MustCompile(`has nothing to pull`), `Skipped No image to be pulled`},
	{regexp.MustCompile(`the stack matches its files`), `batch complete`},
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

// build is "docker build -t NAME DIRECTORY".
func build(args []string) {
	if len(args) != 3 || args[0] != "-t" {
		fatal(fmt.Errorf("only build -t NAME DIRECTORY is known here"))
	}
	c := exec.Command("orlop", "-f", "-", "build", "--quiet")
	c.Stdin = strings.NewReader(fmt.Sprintf("name: build\nservices: {it: {image: %q, build: {context: %q}}}\n", args[1], args[2]))
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		os.Exit(1)
	}
}

// image runs a verb about images, and says as Docker does what is not here.
func image(args []string) {
	c := exec.Command("orlop", args...)
	var errs bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, &errs
	err := c.Run()
	text := absentImage.ReplaceAllString(errs.String(), "Error response from daemon: No such image: $1 ($0)")
	os.Stderr.WriteString(text)
	if err != nil {
		os.Exit(1)
	}
}

var absentImage = regexp.MustCompile(`image (?:docker\.io/)?(?:library/)?(\S+?)(?::latest)? is not here`)

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
