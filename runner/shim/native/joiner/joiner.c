// The way of a process into a container, without a Go program that begins: it runs before
// Go does, where the program was started for it, and ends in the container's program.
//
// There are two processes. The first one joins the cgroups and the namespaces, out of the
// container's sight; it then forks into its process namespace, and ends. The second one, a child
// of who started the first one, says that it is there, waits until the starter knows it, and
// becomes the program. In between it can be seen in the container, with rights that nobody
// there has. What keeps it from those who would use that is what runc does, in runc's order:
//   - neither is dumpable: nobody without CAP_SYS_PTRACE reaches its memory, its files or
//     its program through /proc or ptrace;
//   - its program is a copy that can't be written to, wherever one gets hold of it;
//   - it never holds a descriptor but the program's three and a socket, which execve
//     closes: none leads to a directory of the machine, whatever rights one has who finds it;
//   - its directory is one of the container's before the program has it.
//
// Nothing is said here of why something could not be done: the starter has it done
// by libcontainer then, which says it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif

// The descriptors that it is started with, beside the three of the program.
enum { SOCKET = 3, SELF = 4, INIT = 5, OTHERS = 6 };

// What is asked for, as record.go writes it. Behind it are the limits, the filter, the
// groups, and strings, each with its end.
struct record {
	uint32_t version, size; // the size is that of what is behind it
	uint64_t bounding, effective, permitted, inheritable, ambient;
	uint32_t namespaces; // CLONE_NEW...
	uint32_t flags;
	uint32_t umask, uid, gid, last_capability, filter_flags;
	uint32_t limits, instructions, groups, cgroups, args, env, pad;
};

enum { VERSION = 0x6f6a0002 };
enum { NO_NEW_PRIVILEGES = 1, UMASK = 2, KEYRING = 4, OOM_SCORE = 8 };

struct limit {
	uint32_t resource, pad;
	uint64_t soft, hard;
};

// What the starter is told: that the process which sends it is there, or what could not be
// done and the number of the error.
struct report {
	uint32_t is_error;
	int32_t value;
	char what[24];
};

static void tell(int is_error, int value, const char *what)
{
	struct report r = { .is_error = is_error, .value = value };
	strncpy(r.what, what, sizeof(r.what) - 1);
	if (write(SOCKET, &r, sizeof(r)) < 0) // a call that a filter rather allows than others
		_exit(255);
}

static void __attribute__((noreturn)) give_up(const char *what)
{
	tell(1, errno, what);
	_exit(255);
}

// must gives up when a call has failed.
static int must(long result, const char *what)
{
	if (result < 0)
		give_up(what);
	return result;
}

static void receive(void *to, size_t size)
{
	char *at = to;
	while (size > 0) {
		ssize_t n = read(SOCKET, at, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(255); // the starter is gone, or is none of ours
		at += n;
		size -= n;
	}
}

// next is a string of the record, and moves on to the one behind it.
static char *next(char **at)
{
	char *string = *at;
	*at += strlen(string) + 1;
	return string;
}

static char **list(char **at, uint32_t n)
{
	char **strings = calloc(n + 1, sizeof(char *));
	if (strings == NULL)
		give_up("memory");
	for (uint32_t i = 0; i < n; i++)
		strings[i] = next(at);
	return strings;
}

static void adjust_oom_score(const char *score)
{
	int fd = must(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC), "oom_score_adj");
	must(write(fd, score, strlen(score)), "oom_score_adj");
	close(fd);
}

static void load_filter(struct record *r, struct sock_filter *filter)
{
	struct sock_fprog program = { .len = r->instructions, .filter = filter };
	if (r->instructions > 0)
		must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, r->filter_flags, &program), "seccomp");
}

// own_streams gives the program its output: it may want to open it anew by its name.
static void own_streams(uint32_t uid)
{
	for (int fd = 0; fd <= 2; fd++) {
		struct stat s;
		must(fstat(fd, &s), "fstat");
		if (s.st_uid == uid || (S_ISCHR(s.st_mode) && s.st_rdev == 0x103)) // /dev/null
			continue;
		if (fchown(fd, uid, -1) < 0 && errno != EPERM && errno != EROFS)
			give_up("fchown");
	}
}

static void set_capabilities(struct record *r)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	for (int i = 0; i < 2; i++) {
		data[i].effective = r->effective >> (32 * i);
		data[i].permitted = r->permitted >> (32 * i);
		data[i].inheritable = r->inheritable >> (32 * i);
	}
	must(syscall(SYS_capset, &head, data), "capset");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		give_up("ambient capabilities");
	for (uint32_t c = 0; c <= r->last_capability; c++)
		if (r->ambient >> c & 1)
			prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0); // one that can't be raised is left out, as runc does it
}

// is_program says that a file can be executed by who is asked, as Go's exec.LookPath sees it.
static int is_program(const char *path)
{
	struct stat s;
	if (stat(path, &s) < 0)
		return 0;
	if (S_ISDIR(s.st_mode)) {
		errno = EISDIR;
		return 0;
	}
	if (syscall(SYS_faccessat2, AT_FDCWD, path, X_OK, AT_EACCESS) == 0)
		return 1;
	return (errno == ENOSYS || errno == EPERM) && (s.st_mode & 0111) != 0;
}

static const char *look_up(const char *name, char **env)
{
	static char path[4096];
	if (strchr(name, '/') != NULL) {
		if (!is_program(name))
			give_up("program");
		return name;
	}
	const char *dirs = "";
	for (; *env != NULL; env++)
		if (strncmp(*env, "PATH=", 5) == 0)
			dirs = *env + 5;
	while (*dirs != '\0') {
		size_t n = strcspn(dirs, ":");
		errno = ENOENT;
		if (*dirs != '/') // who takes those of the directory that it happens to be in is told so
			give_up("a relative PATH");
		if (n + strlen(name) + 2 > sizeof(path))
			give_up("a long PATH");
		memcpy(path, dirs, n);
		path[n] = '/';
		strcpy(path + n + 1, name);
		if (is_program(path))
			return path;
		dirs += n;
		if (*dirs == ':' && *++dirs == '\0')
			give_up("a relative PATH"); // an empty one at the end
	}
	errno = ENOENT;
	give_up("program");
}

// heed_signals has the program begin with no signal ignored or held back, whatever the helper
// was started by does: those that Go leaves alone, too.
static void heed_signals(void)
{
	struct { void *handler; unsigned long flags; void *restorer; uint64_t mask; } usual = { 0 };
	uint64_t none = 0;
	for (int s = 1; s <= 64; s++)
		syscall(SYS_rt_sigaction, s, &usual, NULL, sizeof(usual.mask)); // two of them nobody can change
	must(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none)), "signals");
}

// become is the second process: what it does, and in which order, is what runc does.
static void __attribute__((noreturn)) become(struct record *r, struct limit *limits, struct sock_filter *filter, uint32_t *groups,
	const char *ring, const char *cwd, char **args, char **env)
{
	char known;
	tell(0, 0, "");
	receive(&known, sizeof(known));
	must(setsid(), "setsid");
	heed_signals();
	static unsigned char all[8192]; // as many processors as the kernel may have: its cgroup's are what is left
	memset(all, 0xff, sizeof(all));
	syscall(SYS_sched_setaffinity, 0, sizeof(all), all);
	if (r->flags & KEYRING && syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, ring) < 0 && errno != ENOSYS)
		give_up("keyring");
	if (r->flags & NO_NEW_PRIVILEGES)
		must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
	if (r->flags & UMASK)
		umask(r->umask);
	for (uint32_t i = 0; i < r->limits; i++) {
		struct rlimit l = { .rlim_cur = limits[i].soft, .rlim_max = limits[i].hard };
		must(syscall(SYS_prlimit64, 0, limits[i].resource, &l, NULL), "rlimit");
	}
	if (!(r->flags & NO_NEW_PRIVILEGES)) // which then is a privilege
		load_filter(r, filter);
	int is_there = chdir(cwd) == 0;
	if (!is_there && errno != EACCES && errno != EPERM) // the user may be allowed what we are not
		give_up("chdir");
	for (uint32_t c = 0; c <= r->last_capability; c++)
		if (!(r->bounding >> c & 1) && prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0 && errno != EINVAL)
			give_up("bounding set");
	must(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "keepcaps");
	own_streams(r->uid);
	must(syscall(SYS_setgroups, (size_t)r->groups, groups), "setgroups");
	must(syscall(SYS_setgid, r->gid), "setgid");
	must(syscall(SYS_setuid, r->uid), "setuid");
	if (!is_there)
		must(chdir(cwd), "chdir");
	// The kernel says of a directory that is none of the container's that it is not reachable.
	static char where[4096];
	if (must(syscall(SYS_getcwd, where, sizeof(where)), "getcwd") < 1 || where[0] != '/')
		give_up("getcwd");
	must(prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0), "keepcaps");
	set_capabilities(r);
	must(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "pdeathsig"); // it ends with who started it; a change of user would undo it
	const char *program = look_up(args[0], env);
	if (r->flags & NO_NEW_PRIVILEGES)
		load_filter(r, filter);
	execve(program, args, env);
	give_up("execve");
}

static void __attribute__((noreturn)) join(void)
{
	static struct record r;
	must(syscall(SYS_close_range, OTHERS, ~0U, 0), "close_range");
	close(SELF);
	receive(&r, sizeof(r));
	if (r.version != VERSION) {
		errno = EPROTO;
		give_up("version");
	}
	char *rest = malloc(r.size);
	if (rest == NULL)
		give_up("memory");
	receive(rest, r.size);
	struct limit *limits = (void *)rest;
	struct sock_filter *filter = (void *)(limits + r.limits);
	uint32_t *groups = (void *)(filter + r.instructions);
	char *strings = (void *)(groups + r.groups);
	const char *score = next(&strings), *ring = next(&strings), *cwd = next(&strings);
	for (uint32_t i = 0; i < r.cgroups; i++) { // of version 1: in one of version 2 it was born
		int fd = must(open(next(&strings), O_WRONLY | O_CLOEXEC), "cgroup");
		must(write(fd, "0", 1), "cgroup");
		close(fd);
	}
	char **args = list(&strings, r.args), **env = list(&strings, r.env);

	if (r.flags & OOM_SCORE)
		adjust_oom_score(score);
	must(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "dumpable");
	must(setns(INIT, r.namespaces), "setns");
	must(syscall(SYS_close_range, SOCKET + 1, ~0U, 0), "close_range");
	must(fcntl(SOCKET, F_SETFD, FD_CLOEXEC), "fcntl");
	// A child of our parent's, which has to wait for it.
	if (must(syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0), "fork") == 0)
		become(&r, limits, filter, groups, ring, cwd, args, env);
	_exit(0);
}

// Whoever else begins with this word is not harmed, and harms nobody: it is what its
// caller may do, in its caller's place.
static void __attribute__((constructor)) begin(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "join") == 0)
		join();
}
