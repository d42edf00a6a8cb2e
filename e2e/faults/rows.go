package main

// row is one kind of fault.
type row struct {
	number int
	fault  string
	// untested says why no test injects it; empty for one that a test must
	// inject.
	untested string
}

// rows are the faults that Orlop must survive.
func rows() []row {
	return []row{
		{1, "the engine is killed during a build", ""},
		{2, "the engine is killed while a container is started", ""},
		{3, "the engine is killed while services run", ""},
		{4, "the engine hangs", ""},
		{5, "the engine is upgraded while containers run", ""},
		{6, "the parent of a stack's containers is killed", ""},
		{7, "the parent of a stack's containers hangs", ""},
		{8, "runc can't create a container", ""},
		{9, "runc is missing, or of another architecture", ""},
		{10, "the disk is full while an image is unpacked", ""},
		{11, "the disk is full while state is written", ""},
		{12, "services' logs fill the disk", ""},
		{13, "the machine is restarted", ""},
		{14, "power is lost", ""},
		{15, "a database is cut off or damaged", ""},
		{16, "the same project is brought up twice at once", ""},
		{17, "up and down race; two projects change at once", ""},
		{18, "who holds a lock dies", ""},
		{19, "a command is interrupted, or its terminal goes", ""},
		{20, "a host port is in use", ""},
		{21, "an image is missing, or its registry refuses, fails or lies", ""},
		{22, "a subnet clashes with a route of the host or with another project", ""},
		{23, "a service is killed for want of memory", ""},
		{24, "a health check hangs, forks, floods or ignores SIGTERM", ""},
		{25, "a health check flaps", ""},
		{26, "a service floods its log, in one endless line too", ""},
		{27, "a reader of logs is slow or dead", ""},
		{28, "one file has hundreds of containers", ""},
		{29, "a service ends as often as it is started", ""},
		{30, "names are asked for while services come and go", ""},
		{31, "the host's name servers are dead, or change", ""},
		{32, "the clock jumps", ""},
		{33, "the stack file is edited during up", ""},
		{34, "the stack file is invalid while it is watched", ""},
		{35, "a watched tree is larger than the kernel watches, or changes faster", ""},
		{36, "a link leads out of a build context", ""},
		{37, "a build context has a pipe, a socket or a device", ""},
		{38, "a file of a build context can't be read, vanishes, is huge, or has a name that is not text", ""},
		{39, "processes are orphaned in a container", ""},
		{40, "a container ignores SIGTERM, or can't be killed", ""},
		{41, "a volume to be removed is in use", ""},
		{42, "the host runs out of processes, descriptors or memory", ""},
		{43, "the state directory is removed, read-only or another's", ""},
		{44, "someone else removes a link, a rule, a namespace or a container", ""},
		{45, "a build step is killed, a build is cancelled, two share a cache mount", ""},
		{46, "what is not used is removed during builds, pulls and runs", ""},
	}
}
