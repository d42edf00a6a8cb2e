package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orlop/orlop/e2e/cluster/machine"
)

// must is set by "make test" and "make test-cluster": what can't run is then a failure.
const must = "ORLOP_E2E"

// room is the machine's directory, set before the tests run.
var room string

// missing says why the tests are skipped.
var missing error

func TestMain(m *testing.M) { os.Exit(start(m)) }

func start(m *testing.M) int {
	if missing = unable(); missing != nil {
		if os.Getenv(must) != "" {
			fmt.Fprintln(os.Stderr, "cluster: the tests can't run:", missing)
			return 1
		}
		return m.Run()
	}
	var err error
	if room, err = machine.Enter("/var/tmp"); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		return 1
	}
	return m.Run()
}

func unable() error {
	if os.Geteuid() != 0 {
		return errors.New("needs root: the machine is made of namespaces")
	}
	if _, err := os.Stat(filepath.Join(programs(), "node.key")); err != nil {
		return fmt.Errorf("%s has no programs: run \"make cluster\"", programs())
	}
	return nil
}

func repository() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}

func programs() string            { return filepath.Join(repository(), ".cache/cluster") }
func ours() string                { return filepath.Join(repository(), "bin") }
func archive(image string) string { return filepath.Join(repository(), ".cache/images", image+".tar") }

// stage is the cluster that tests share, with an engine on its machine.
type stage struct {
	*Cluster
	mu   sync.Mutex
	last int
}

// newStage starts a cluster of one size.
func newStage(t *testing.T, hasNode bool) *stage {
	t.Helper()
	if missing != nil {
		t.Skip("SKIPPED: " + missing.Error())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	began := time.Now()
	c, err := Start(ctx, Options{Dir: filepath.Join(room, t.Name()), Programs: programs(), Shims: ours(), HasNode: hasNode, OldAPI: os.Getenv("ORLOP_E2E_OLD_API")})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the cluster was ready after %.1f s", time.Since(began).Seconds())
	s := &stage{Cluster: c}
	t.Cleanup(func() {
		s.endEngine(t)
		c.Stop()
	})
	if c.OldAPI != "" {
		s.mustBeOld(ctx, t)
	}
	return s
}

// mustBeOld holds that the API server is of another version than what it is asked with.
func (s *stage) mustBeOld(ctx context.Context, t *testing.T) {
	t.Helper()
	out, err := s.Kubectl(ctx, "", "version")
	found := regexp.MustCompile(`(?s)Client Version: (\S+).*Server Version: (\S+)`).FindStringSubmatch(out)
	if err != nil || found == nil || found[1] == found[2] {
		t.Fatalf("the API server is to be an old one, and there is %q (%v)", out, err)
	}
	t.Logf("the API server is %s", found[2])
}

// number is another each time.
func (s *stage) number() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	return s.last
}

// engineEnv says where the machine's engine is.
func (s *stage) engineEnv() []string {
	return []string{"ORLOP_ROOT=" + s.path("orlop"), "ORLOP_STATE=/run/orlop"}
}

// orlop runs a command at the machine's engine.
func (s *stage) orlop(args ...string) (string, error) {
	c := exec.Command(filepath.Join(ours(), "orlop"), args...)
	c.Env = append(os.Environ(), append(s.engineEnv(), "HOME="+s.Dir)...)
	out, err := c.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("orlop %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func (s *stage) endEngine(t *testing.T) {
	if _, err := os.Stat(s.path("orlop")); err != nil {
		return
	}
	if _, err := s.orlop("engine", "stop"); err != nil {
		t.Error(err)
	}
}
