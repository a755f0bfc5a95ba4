// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

#include <sys/stat.h>

#include "io/internal.h"

// A tree like the kernel's below the rig's folder.
struct tree {
    char root[64], self[128], v2[128], cpu[128], memory[128];
    struct io_group_places places;
};

static void put(struct tree *t, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", t->root, name);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0755);
        *slash = '/';
    }
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
}

static struct tree *tree_in(struct rig *r)
{
    static struct tree t;
    snprintf(t.root, sizeof(t.root), "%s", r->folder);
    snprintf(t.self, sizeof(t.self), "%s/self", r->folder);
    snprintf(t.v2, sizeof(t.v2), "%s/v2", r->folder);
    snprintf(t.cpu, sizeof(t.cpu), "%s/cpu", r->folder);
    snprintf(t.memory, sizeof(t.memory), "%s/memory", r->folder);
    t.places = (struct io_group_places){.self = t.self, .v2 = t.v2, .v1_cpu = t.cpu, .v1_memory = t.memory};
    return &t;
}

static void version_2(struct rig *r)
{
    struct tree *t = tree_in(r);
    cr_assert_eq(io_group_cpu_milli(&t->places), UINT64_MAX, "no groups at all");
    cr_assert_eq(io_group_memory_bytes(&t->places), UINT64_MAX);
    put(t, "self", "0::/a/b\n");
    put(t, "v2/a/b/cpu.max", "max 100000\n");
    put(t, "v2/a/b/memory.max", "max\n");
    cr_assert_eq(io_group_cpu_milli(&t->places), UINT64_MAX);
    cr_assert_eq(io_group_memory_bytes(&t->places), UINT64_MAX);
    put(t, "v2/a/b/cpu.max", "250000 100000\n");
    put(t, "v2/a/b/memory.max", "1000000\n");
    cr_assert_eq(io_group_cpu_milli(&t->places), 2500);
    cr_assert_eq(io_group_memory_bytes(&t->places), 1000000);
    // A tighter one above.
    put(t, "v2/a/cpu.max", "50000 100000\n");
    put(t, "v2/memory.max", "4096\n");
    cr_assert_eq(io_group_cpu_milli(&t->places), 500);
    cr_assert_eq(io_group_memory_bytes(&t->places), 4096);
}

static void version_1(struct rig *r)
{
    struct tree *t = tree_in(r);
    put(t, "self", "4:memory:/m\n3:cpuset:/wrong\n2:cpu,cpuacct:/c\n0::/\n");
    put(t, "cpu/wrong/cpu.cfs_quota_us", "1000\n");
    put(t, "cpu/wrong/cpu.cfs_period_us", "100000\n");
    put(t, "cpu/c/cpu.cfs_quota_us", "-1\n");
    put(t, "cpu/c/cpu.cfs_period_us", "100000\n");
    cr_assert_eq(io_group_cpu_milli(&t->places), UINT64_MAX);
    put(t, "cpu/c/cpu.cfs_quota_us", "150000\n");
    put(t, "memory/m/memory.limit_in_bytes", "123456\n");
    cr_assert_eq(io_group_cpu_milli(&t->places), 1500);
    cr_assert_eq(io_group_memory_bytes(&t->places), 123456);
    // In a container the path leads nowhere, the root of what is mounted is the own group.
    put(t, "self", "4:memory:/docker/x\n2:cpuacct,cpu:/docker/x\n");
    cr_assert_eq(io_group_cpu_milli(&t->places), UINT64_MAX);
    put(t, "cpu/cpu.cfs_quota_us", "20000\n");
    put(t, "cpu/cpu.cfs_period_us", "10000\n");
    cr_assert_eq(io_group_cpu_milli(&t->places), 2000);
}

Test(group, limits_of_version_2)
{
    rig_run(IO_ENGINE_EPOLL, version_2);
}

Test(group, limits_of_version_1)
{
    rig_run(IO_ENGINE_EPOLL, version_1);
}
