package stackfile

import (
	"path"
	"strings"

	"github.com/orlop/orlop/spec"
)

// watch checks the rules of develop.watch: each has what its action needs.
func (v *validator) watch(s *node, at string) {
	rules := s.value("develop").value("watch")
	if rules == nil || rules.kind != listNode {
		return
	}
	for i, rule := range rules.items {
		if rule.kind == mapNode {
			v.watchRule(rule, indexed(at+".develop.watch", i), s.value("build") != nil)
		}
	}
}

func (v *validator) watchRule(rule *node, at string, isBuilt bool) {
	action := textAt(rule, "action")
	if rule.value("action") == nil {
		v.l.fail(rule, at, "action is missing", "write one of sync, sync+restart, sync+exec, restart, rebuild")
	}
	if rule.value("path") == nil {
		v.l.fail(rule, at, "path is missing", "write path: and the file or directory to watch")
	}
	syncs := strings.HasPrefix(action, spec.WatchSync)
	target := rule.value("target")
	switch {
	case syncs && target == nil:
		v.l.fail(rule, at, "target is missing", "write target: and the path in the container that the files go to")
	case syncs && target.kind == scalarNode && !path.IsAbs(target.text):
		v.l.fail(target, at+".target", "the target "+spec.Shorten(target.text)+" is not an absolute path", "start it with a slash")
	}
	hook := rule.value("exec")
	command := hook.value("command")
	switch {
	case action == spec.WatchSyncExec && (command == nil || command.kind == listNode && len(command.items) == 0):
		v.l.fail(rule, at, "exec has no command", "write exec: and below it command:")
	case action != spec.WatchSyncExec && action != "" && hook != nil:
		v.l.warn(hook, at+".exec", "exec has no meaning with the action "+action, "write action: sync+exec, or remove it")
	}
	if action == spec.WatchRebuild && !isBuilt {
		v.l.warn(rule, at, "there is nothing to rebuild: the service has no build", "write build:, or another action")
	}
}
