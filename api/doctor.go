package api

// Check is one thing that "orlop doctor" looked at. The engine's program finds
// those of the machine, the command those of what runs.
type Check struct {
	Name   string     `json:"name"`
	Result CheckLevel `json:"result"`
	Found  string     `json:"found"`
	// Cure says what to do; empty where nothing is to be done.
	Cure string `json:"cure,omitempty"`
	// Fixed says that it was not so before: --fix did what the cure says.
	Fixed bool `json:"fixed,omitempty"`
}

// CheckLevel is how a check has ended.
type CheckLevel string

// The results of a check. Orlop runs with warnings; something does not work, or
// is worse than it could be.
const (
	CheckOK      CheckLevel = "ok"
	CheckWarning CheckLevel = "warning"
	CheckFailed  CheckLevel = "failed"
	CheckAbsent  CheckLevel = "absent" // what the machine has not, and few stacks need
)
