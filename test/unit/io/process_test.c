// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

// Of the kernel's struct sched_attr: where SCHED_OTHER has its slice, 0 before Linux 6.12.
struct slice {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t ns, deadline, period;
};

static struct slice slice_now(void)
{
    struct slice s = {0};
    cr_assert_eq(syscall(SYS_sched_getattr, 0, &s, sizeof(s), 0), 0);
    return s;
}

Test(process, slices_become_short_and_nothing_else_changes)
{
    cr_assert_eq(setpriority(PRIO_PROCESS, 0, 3), 0);
    struct slice before = slice_now();
    io_thread_short_slices();
    struct slice after = slice_now();
    cr_assert(after.policy == before.policy && after.nice == 3 && after.flags == before.flags);
    cr_assert(before.ns == 0 || after.ns == 100000, "%llu", (unsigned long long)after.ns);
}

Test(process, who_runs_by_another_policy_keeps_it)
{
    struct sched_param p = {0};
    cr_assert_eq(sched_setscheduler(0, SCHED_BATCH, &p), 0);
    struct slice before = slice_now();
    io_thread_short_slices();
    struct slice after = slice_now();
    cr_assert(after.policy == SCHED_BATCH && after.ns == before.ns);
}
