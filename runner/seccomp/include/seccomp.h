/*
 * What runc's stub for unknown system calls (libcontainer/seccomp/patchbpf) takes from
 * libseccomp's header: numbers of the kernel's. There is nothing to link.
 */
#ifndef ORLOP_SECCOMP_H
#define ORLOP_SECCOMP_H

#include <linux/audit.h>
#include <linux/seccomp.h>

#define SCMP_ACT_ERRNO(number) (SECCOMP_RET_ERRNO | ((number) & SECCOMP_RET_DATA))

/* These are neither in linux/audit.h nor met by a program of ours. */
#ifndef AUDIT_ARCH_MIPS64N32
#define AUDIT_ARCH_MIPS64N32 (EM_MIPS | __AUDIT_ARCH_64BIT | __AUDIT_ARCH_CONVENTION_MIPS64_N32)
#endif
#ifndef AUDIT_ARCH_MIPSEL64N32
#define AUDIT_ARCH_MIPSEL64N32 (EM_MIPS | __AUDIT_ARCH_64BIT | __AUDIT_ARCH_LE | __AUDIT_ARCH_CONVENTION_MIPS64_N32)
#endif

#endif
