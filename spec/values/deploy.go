package values

import (
	"fmt"
	"strconv"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// restartPolicy checks deploy.restart_policy, and tells where restart says
// something else, which counts for nothing then.
func (c checker) restartPolicy(s *tree.Node, path string) {
	policy := s.Value("deploy").Value("restart_policy")
	if policy == nil || policy.Kind != tree.MapNode {
		return
	}
	at := path + ".deploy.restart_policy"
	if most := policy.Value("max_attempts"); most != nil && most.Kind == tree.ScalarNode {
		if n, err := strconv.ParseInt(most.Text, 10, 64); err == nil && n < 0 {
			c.Fail(most, at+".max_attempts", fmt.Sprintf("%s attempts are not possible", most.Text), "leave it out for any number of them")
		}
	}
	restart, condition := s.Value("restart"), spec.RestartAny
	if given := policy.Value("condition"); given != nil {
		condition = spec.RestartOf(given.Text).Condition
	}
	if restart == nil || restart.Kind != tree.ScalarNode || restart.Text == "" {
		return
	}
	if terms := spec.RestartOf(restart.Text); terms.Condition == condition {
		if attempts := policy.Value("max_attempts"); terms.Bounded && (attempts == nil || attempts.Text != strconv.Itoa(terms.Most)) {
			c.Warn(restart, path+".restart", fmt.Sprintf("restart is %q, but deploy.restart_policy stands, which has another number of attempts", restart.Text), "write max_attempts there")
		}
		return
	}
	c.Warn(restart, path+".restart", fmt.Sprintf("restart is %q, but deploy.restart_policy says %q, which stands", spec.Shorten(restart.Text), condition), "keep one of them")
}

// global refuses numbers of containers of a service that has one on each machine.
func (c checker) global(s *tree.Node, path string) {
	deploy := s.Value("deploy")
	mode := deploy.Value("mode")
	if mode == nil || mode.Text != spec.DeployGlobal && mode.Text != spec.DeployGlobalJob {
		return
	}
	for at, n := range map[string]*tree.Node{path + ".scale": s.Value("scale"), path + ".deploy.replicas": deploy.Value("replicas")} {
		if n != nil && n.Kind == tree.ScalarNode && n.Text != "1" {
			c.Fail(n, at, fmt.Sprintf("a service with mode: %s has one container on each machine, not %s", mode.Text, n.Text), "remove it, or write mode: "+spec.DeployReplicated)
		}
	}
}

// updates checks deploy.update_config and deploy.rollback_config.
func (c checker) updates(s *tree.Node, path string) {
	deploy := s.Value("deploy")
	if deploy == nil {
		return
	}
	for _, key := range []string{"update_config", "rollback_config"} {
		c.update(deploy.Value(key), path+".deploy."+key)
	}
	action := deploy.Value("update_config").Value("failure_action")
	if n := deploy.Value("rollback_config"); n != nil && n.Kind == tree.MapNode && (action == nil || action.Text != spec.FailureRollback) {
		c.Warn(n, path+".deploy.rollback_config", "it has no effect: no update is rolled back", "write update_config: {failure_action: "+spec.FailureRollback+"}")
	}
}

// update checks how containers are replaced.
func (c checker) update(update *tree.Node, at string) {
	if n := update.Value("parallelism"); n != nil && n.Kind == tree.ScalarNode {
		if v, err := strconv.ParseInt(n.Text, 10, 64); err == nil && (v < 0 || v > MaxReplicas) {
			c.Fail(n, at+".parallelism", fmt.Sprintf("%s containers at a time are not possible", n.Text), fmt.Sprintf("0, which is all, to %d", MaxReplicas))
		}
	}
	if n := update.Value("max_failure_ratio"); n != nil && n.Kind == tree.ScalarNode {
		if v, err := strconv.ParseFloat(n.Text, 64); err == nil && v > 1 {
			c.Fail(n, at+".max_failure_ratio", fmt.Sprintf("%s is not a part of all", n.Text), "write a number from 0 to 1")
		}
	}
}
