package engine

import (
	"path"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/disk"
)

// leastRoom is how many bytes must be free for something to be begun that
// makes anything: its records would fit.
const leastRoom = 1 << 20

// makeRoom gives the room up that is kept back, for a call that makes more, and
// refuses one that needs room where there is none, before it has changed anything.
func (e *Engine) makeRoom(method string) error {
	switch path.Base(method) {
	case "Down", "Lifecycle", "RemoveVolume", "RemoveNetwork", "RemoveImage", "Prune", "Collect", "Shutdown":
		return e.reserve.GiveIfFull()
	case "LoadImages", "Import", "Create", "CreateVolume", "CreateNetwork":
		return disk.Need(e.cfg.Root, leastRoom)
	}
	return nil
}

// roomFor is makeRoom for a step of a plan.
func (e *Engine) roomFor(a planner.Action) error {
	switch a {
	case planner.Pull, planner.Build, planner.Init, planner.Create, planner.Replace, planner.CreateVolume, planner.CreateNetwork:
		return disk.Need(e.cfg.Root, leastRoom)
	}
	return e.reserve.GiveIfFull()
}

// explain adds to the error of a full disk how much is free, and makes sure that
// what was half done can be taken back.
func (e *Engine) explain(err error) error {
	if disk.IsFull(err) {
		if gerr := e.reserve.GiveIfFull(); gerr != nil {
			e.log.Warn("the disk is full", "error", gerr)
		}
	}
	return disk.Explain(err, e.cfg.Root, 0)
}

// afterwards is what follows each call: the room that is kept back is taken
// again if there is some.
func (e *Engine) afterwards(err error) error {
	err = e.explain(err)
	if err == nil {
		if rerr := e.reserve.Take(); rerr != nil {
			e.log.Warn("no room is kept back for when the disk is full", "error", rerr)
		}
	}
	return err
}
