package spec

// Triggers say what a job is run by ("jobs.*.triggers"). A job is a container that runs to
// completion: no service depends on it, and up does not run it.
type Triggers struct {
	Manual *bool `json:"manual,omitempty"` // by its name; nil is true
}
