package engine

import "runtime/debug"

// wipe gives back to the system, and writes over, what is no longer in use: the
// secrets of a project that is gone are among it. The collector alone may take
// minutes to come by where nothing happens.
func wipe() {
	for range 3 { // what a pool keeps is free after two collections
		debug.FreeOSMemory()
	}
}
