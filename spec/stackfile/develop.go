package stackfile

import (
	"path"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// watch checks the rules of develop.watch: each has what its action needs.
func (v *validator) watch(s *tree.Node, at string) {
	rules := s.Value("develop").Value("watch")
	if rules == nil || rules.Kind != tree.ListNode {
		return
	}
	for i, rule := range rules.Items {
		if rule.Kind == tree.MapNode {
			v.watchRule(rule, tree.Indexed(at+".develop.watch", i), s.Value("build") != nil)
		}
	}
}

func (v *validator) watchRule(rule *tree.Node, at string, isBuilt bool) {
	action := tree.TextAt(rule, "action")
	if rule.Value("action") == nil {
		v.l.Fail(rule, at, "action is missing", "write one of sync, sync+restart, sync+exec, restart, rebuild")
	}
	if rule.Value("path") == nil {
		v.l.Fail(rule, at, "path is missing", "write path: and the file or directory to watch")
	}
	syncs := strings.HasPrefix(action, spec.WatchSync)
	target := rule.Value("target")
	switch {
	case syncs && target == nil:
		v.l.Fail(rule, at, "target is missing", "write target: and the path in the container that the files go to")
	case syncs && target.Kind == tree.ScalarNode && !path.IsAbs(target.Text):
		v.l.Fail(target, at+".target", "the target "+spec.Shorten(target.Text)+" is not an absolute path", "start it with a slash")
	}
	hook := rule.Value("exec")
	command := hook.Value("command")
	switch {
	case action == spec.WatchSyncExec && (command == nil || command.Kind == tree.ListNode && len(command.Items) == 0):
		v.l.Fail(rule, at, "exec has no command", "write exec: and below it command:")
	case action != spec.WatchSyncExec && action != "" && hook != nil:
		v.l.Warn(hook, at+".exec", "exec has no meaning with the action "+action, "write action: sync+exec, or remove it")
	}
	if action == spec.WatchRebuild && !isBuilt {
		v.l.Warn(rule, at, "there is nothing to rebuild: the service has no build", "write build:, or another action")
	}
}
