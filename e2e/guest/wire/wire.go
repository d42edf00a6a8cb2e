// Package wire is what is said between a test and the program inside of its
// guest, as one JSON object after another, over a serial port. It knows
// nothing of Orlop.
package wire

// Port is the name of the serial port.
const Port = "orlop.guest"

// Request asks for a command.
type Request struct {
	ID   int      `json:"id"`
	Argv []string `json:"argv,omitempty"`
	Dir  string   `json:"dir,omitempty"`
}

// Reply is a piece of what a command printed, or how it ended. The first of
// all, of ID 0, says that the guest is ready.
type Reply struct {
	ID     int    `json:"id"`
	Output []byte `json:"output,omitempty"`
	Errors []byte `json:"errors,omitempty"`
	Ended  bool   `json:"ended,omitempty"`
	Code   int    `json:"code,omitempty"` // as a shell gives it
}
