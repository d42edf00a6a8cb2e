package values

import "github.com/orlop/orlop/spec/tree"

// hooks checks that each hook has something to run.
func (c checker) hooks(s *tree.Node, path string) {
	for _, key := range []string{"post_start", "pre_stop"} {
		for i, hook := range s.Value(key).Entries() {
			command := hook.Value("command")
			if hook.Kind == tree.MapNode && (command == nil || command.Kind == tree.ListNode && len(command.Items) == 0) {
				c.Fail(hook, tree.Indexed(path+"."+key, i), "command is missing", "write command: and what to run in the container")
			}
		}
	}
}
