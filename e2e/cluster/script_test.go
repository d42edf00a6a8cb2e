package cluster

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/orlop/orlop/e2e/cluster/faultproxy"
	"github.com/orlop/orlop/e2e/cluster/machine"
)

// TestAPI runs the scripts that need no more than an API server and its controllers: what they make never runs.
func TestAPI(t *testing.T) {
	runScripts(t, newStage(t, false), filepath.Join("testdata", "api"))
}

// TestScripts runs the scripts whose pods run.
func TestScripts(t *testing.T) {
	s := newStage(t, true)
	for _, image := range []string{"busybox", "debian"} {
		for _, args := range [][]string{
			{"image", "load", archive(image)}, {"image", "tag", tagOf(image), Registry + "/" + image}, {"image", "push", Registry + "/" + image},
		} {
			if _, err := s.orlop(args...); err != nil {
				t.Fatal(err)
			}
		}
	}
	runScripts(t, s, filepath.Join("testdata", "script"))
}

// tagOf is what a base image is called in its archive.
func tagOf(image string) string {
	if image == "debian" {
		return "debian:bookworm-slim"
	}
	return image
}

func runScripts(t *testing.T, s *stage, dir string) {
	deadline := time.Now().Add(15 * time.Minute)
	if end, ok := t.Deadline(); ok {
		deadline = end.Add(-time.Minute)
	}
	testscript.Run(t, testscript.Params{
		Deadline: deadline, Dir: dir, Setup: s.setUp, RequireUniqueNames: true, ContinueOnError: os.Getenv("ORLOP_E2E_CONTINUE") != "",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"http": request, "post": post, "faults": faults, "requests": requests, "user": user, "code": exitCode, "signal": signalBackground, "setenv": setFromStdout,
			"subst": substitute, "took": took,
		},
	})
}

// scene is what one script has for itself.
type scene struct {
	*stage
	namespace string
	proxy     *faultproxy.Proxy
}

type sceneKey struct{}

func sceneOf(ts *testscript.TestScript) *scene { return ts.Value(sceneKey{}).(*scene) }

func (s *stage) setUp(env *testscript.Env) error {
	number := s.number()
	proxy, err := faultproxy.Start("https://"+API, s.path("etc/server.crt"), s.path("etc/server.key"))
	if err != nil {
		return err
	}
	c := &scene{stage: s, namespace: fmt.Sprintf("s%d", number), proxy: proxy}
	env.Values[sceneKey{}] = c
	env.Defer(func() { c.close(env) })
	config := filepath.Join(env.WorkDir, ".kube", "config")
	if err := c.writeKubeconfig(config, adminsKey); err != nil {
		return err
	}
	if _, err := s.Kubectl(context.Background(), "", "create", "namespace", c.namespace); err != nil {
		return err
	}
	env.Vars = append(env.Vars, s.engineEnv()...)
	env.Setenv("PATH", ours()+":"+s.Programs+":"+os.Getenv("PATH"))
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("XDG_CACHE_HOME", env.WorkDir+"-cache")
	env.Setenv("KUBECONFIG", config)
	env.Setenv("NAMESPACE", c.namespace)
	env.Setenv("REGISTRY", Registry)
	env.Setenv("ORLOP_REGISTRY", Registry)
	env.Setenv("NODE", strings.Split(API, ":")[0])
	env.Setenv("REPOSITORY", repository())
	env.Setenv("OUTLET", machine.Outlet)
	env.Setenv("GOPROXY", os.Getenv("GOPROXY"))
	env.Setenv("DOLLAR", "$")
	for i := range 4 {
		env.Setenv(fmt.Sprintf("NODEPORT%d", i+1), fmt.Sprint(31000+10*number+i))
	}
	return nil
}

// writeKubeconfig writes one for a token, at the script's proxy and with its namespace.
func (c *scene) writeKubeconfig(file, token string) error {
	ca, err := os.ReadFile(c.path("etc/ca.crt"))
	if err != nil {
		return err
	}
	content := Kubeconfig(c.proxy.URL(), base64.StdEncoding.EncodeToString(ca), token, c.namespace)
	return errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o600))
}

// close says what there is when the script has failed, and removes it.
func (c *scene) close(env *testscript.Env) {
	defer c.proxy.Close()
	if t, ok := env.T().(interface{ Failed() bool }); ok && t.Failed() {
		for _, args := range [][]string{{"get", "all,pvc,cm,secret,netpol", "-o", "wide"}, {"get", "events", "--sort-by=.lastTimestamp"}} {
			out, err := c.Kubectl(context.Background(), "", append(args, "-n", c.namespace)...)
			env.T().Log(out, err)
		}
	}
	if _, err := c.Kubectl(context.Background(), "", "delete", "namespace", c.namespace, "--wait=false"); err != nil {
		env.T().Log(err)
	}
}

func use(ts *testscript.TestScript, neg bool, args []string, least, most int, usage string) {
	if neg {
		ts.Fatalf("! %s: has no meaning", usage)
	}
	if len(args) < least || most >= 0 && len(args) > most {
		ts.Fatalf("usage: %s", usage)
	}
}

// request: http URL [REGEXP] gets a page, again until it is there and matches: nothing says when a Service has come to
// the node's rules. "! http" gets it once and wants it to fail.
func request(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: http URL [REGEXP]")
	}
	pattern := regexp.MustCompile(strings.Join(args[1:], ""))
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		body, err := fetch(client, args[0])
		switch {
		case neg && err != nil:
			return
		case neg:
			ts.Fatalf("%s answers, and must not", args[0])
		case err == nil && pattern.MatchString(body):
			fmt.Fprint(ts.Stdout(), body)
			return
		case time.Now().After(end):
			ts.Fatalf("%s says %q (%v), want a match of %q", args[0], body, err, pattern)
		}
	}
}

func fetch(client *http.Client, url string) (string, error) {
	res, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, body)
	}
	return string(body), err
}

// post: post URL BODY sends JSON.
func post(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 2, 2, "post URL BODY")
	res, err := http.Post(args[0], "application/json", strings.NewReader(args[1]))
	ts.Check(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	ts.Check(err)
	if res.StatusCode/100 != 2 {
		ts.Fatalf("%s: %s: %s", args[0], res.Status, body)
	}
	fmt.Fprintf(ts.Stdout(), "%s", body)
}

// faults: faults STATUS|drop|lose|hold TIMES [REGEXP] injects a fault into the next requests whose "VERB RESOURCE" matches; faults watches ends all
// watches once there is one; faults held waits until a request is held, faults release lets it go on; faults all fails if one of the injected has not happened; faults forget forgets them.
func faults(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 1, 3, "faults STATUS|drop|lose|hold TIMES [REGEXP], faults watches|held|release|all|forget")
	p := sceneOf(ts).proxy
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	switch {
	case args[0] == "watches":
		ts.Check(p.CutWatches(ctx))
	case args[0] == "held":
		ts.Check(p.Held(ctx))
	case args[0] == "release":
		p.Release()
	case args[0] == "forget":
		p.Clear()
	case args[0] == "all":
		if left := p.Clear(); left > 0 {
			ts.Fatalf("%d of the faults have not happened:\n%s", left, p.Counts())
		}
	case len(args) < 2:
		ts.Fatalf("how many times?")
	default:
		times, err := strconv.Atoi(args[1])
		ts.Check(err)
		ts.Check(p.Inject(faultproxy.Kind(args[0]), times, strings.Join(args[2:], "")))
	}
}

// requests: requests prints what the API server was asked for through the script's kubeconfig, a line "VERB RESOURCE COUNT" each; requests reset
// begins anew.
func requests(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 0, 1, "requests [reset]")
	if len(args) > 0 {
		sceneOf(ts).proxy.Reset()
		return
	}
	fmt.Fprint(ts.Stdout(), sceneOf(ts).proxy.Counts())
}

// user: user NAME ROLE makes a user who has no other rights than a role in the script's namespace, and sets KUBECONFIG for what follows. The role is a
// ClusterRole, or a file with a Role's rules (a YAML list).
func user(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 2, 2, "user NAME CLUSTERROLE|FILE")
	c, name, role := sceneOf(ts), args[0], "--clusterrole="+args[1]
	kubectl := func(stdin string, args ...string) string {
		out, err := c.Kubectl(context.Background(), stdin, append(args, "-n", c.namespace)...)
		ts.Check(err)
		return strings.TrimSpace(out)
	}
	kubectl("", "create", "serviceaccount", name)
	if rules, err := os.ReadFile(ts.MkAbs(args[1])); err == nil {
		kubectl("apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: "+name+"}\nrules:\n"+string(rules), "create", "-f", "-")
		role = "--role=" + name
	}
	kubectl("", "create", "rolebinding", name, role, "--serviceaccount="+c.namespace+":"+name)
	file := ts.MkAbs(name + ".kubeconfig")
	ts.Check(c.writeKubeconfig(file, kubectl("", "create", "token", name)))
	ts.Setenv("KUBECONFIG", file)
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

// signalBackground: signal INT|TERM|KILL sends a signal to every background command.
func signalBackground(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 1, 1, "signal INT|TERM|KILL")
	signals := map[string]os.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}
	for _, c := range ts.BackgroundCmds() {
		if err := c.Process.Signal(signals[args[0]]); err != nil && !errors.Is(err, os.ErrProcessDone) {
			ts.Fatalf("%v", err)
		}
	}
}

// setFromStdout: setenv NAME [REGEXP] sets a variable to what was printed, or to the first group of a match in it.
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

// substitute: subst FILE OLD NEW replaces text in a file, which must have it.
func substitute(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 3, 3, "subst FILE OLD NEW")
	before := ts.ReadFile(args[0])
	if !strings.Contains(before, args[1]) {
		ts.Fatalf("%s has no %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(before, args[1], args[2])), 0o644))
}

// took: took < SECONDS PROGRAM ARG... runs a program that must end in less time.
func took(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 3, -1, "took < SECONDS PROGRAM [ARG...]")
	limit, err := strconv.ParseFloat(args[1], 64)
	ts.Check(err)
	began := time.Now()
	ts.Check(ts.Exec(args[2], args[3:]...))
	if took := time.Since(began).Seconds(); took >= limit {
		ts.Fatalf("%s took %.2f s, which is not less than %s s", strings.Join(args[2:], " "), took, args[1])
	}
}
