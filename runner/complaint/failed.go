package complaint

// Failed is a container that did not become what was awaited; its last lines explain it.
type Failed struct {
	Text string
	Last []string
}

func (e *Failed) Error() string   { return e.Text }
func (e *Failed) Lines() []string { return e.Last }
