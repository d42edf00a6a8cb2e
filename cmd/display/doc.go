// Package display shows what the engine does: as a tree on a terminal, as lines,
// as JSON or not at all, with the timeline of it, folded and annotated for CI
// systems, and the logs, containers and measurements as people and scripts read
// them. Displays are fed plans and events and know nothing else: no display
// asks the engine. All that a command writes goes through an Output, which
// keeps secrets out of it and keeps nobody waiting who wants to leave.
package display
