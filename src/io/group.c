// SPDX-License-Identifier: Apache-2.0
//
// What control groups, of version 1 or 2, allow this process: its own group and every one above it count.
#include "io/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct io_group_places io_group_places = {
    .self = "/proc/self/cgroup",
    .v2 = "/sys/fs/cgroup",
    .v1_cpu = "/sys/fs/cgroup/cpu",
    .v1_memory = "/sys/fs/cgroup/memory",
};

// Reads one number pair ("max 100000", "4096", ...) of a control group file; false when there is no such file.
static bool read_numbers(const char *path, int64_t *first, int64_t *second)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    char a[32] = "", b[32] = "";
    int n = fscanf(f, "%31s %31s", a, b);
    fclose(f);
    if (n < 1)
        return false;
    *first = strcmp(a, "max") == 0 ? -1 : strtoll(a, NULL, 10);
    *second = n == 2 ? strtoll(b, NULL, 10) : 0;
    return true;
}

// Whether names ("cpu,cpuacct") has name as one of its words.
static bool names_have(const char *names, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = names; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, n) == 0 && (at[n] == ',' || at[n] == 0))
            return true;
    }
    return false;
}

// Path of this process's group in the hierarchy of a controller ("" for version 2), such as "/system.slice/x".
static bool own_group(const char *self, const char *controller, char *out, size_t out_bytes)
{
    FILE *f = fopen(self, "re");
    if (!f)
        return false;
    char line[1024];
    bool found = false;
    while (!found && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = 0;
        char *names = strchr(line, ':');
        char *path = names ? strchr(names + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = 0;
        names++;
        found = *controller ? names_have(names, controller) : *names == 0;
        if (found)
            snprintf(out, out_bytes, "%s", path);
    }
    fclose(f);
    return found;
}

// Least value of file over the process's group and all above it. Inside a container the path may name a group that is
// not visible; what is visible above it counts then.
static uint64_t least_of_groups(const char *self, const char *root, const char *controller, const char *file,
                                uint64_t (*value)(const char *path))
{
    char group[768], path[1024];
    uint64_t least = UINT64_MAX;
    if (!own_group(self, controller, group, sizeof(group)))
        group[0] = 0;
    for (;;) {
        size_t n = strlen(group);
        while (n > 0 && group[n - 1] == '/')
            group[--n] = 0;
        snprintf(path, sizeof(path), "%s%s/%s", root, group, file);
        uint64_t v = value(path);
        least = v < least ? v : least;
        char *slash = strrchr(group, '/');
        if (!slash)
            return least;
        *slash = 0;
    }
}

static uint64_t memory_limit_of(const char *path)
{
    int64_t limit, none;
    return read_numbers(path, &limit, &none) && limit > 0 ? (uint64_t)limit : UINT64_MAX;
}

// Quota in thousandths of a CPU.
static uint64_t cpu_limit_v2(const char *path)
{
    int64_t quota, period;
    return read_numbers(path, &quota, &period) && quota > 0 && period > 0 ? (uint64_t)(quota * 1000 / period)
                                                                          : UINT64_MAX;
}

static uint64_t cpu_limit_v1(const char *path)
{
    int64_t quota, period, none;
    char period_path[1024];
    snprintf(period_path, sizeof(period_path), "%s", path);
    char *name = strstr(period_path, "cpu.cfs_quota_us");
    ASSERT(name);
    memcpy(name, "cpu.cfs_period_us", sizeof("cpu.cfs_period_us"));
    return read_numbers(path, &quota, &none) && quota > 0 && read_numbers(period_path, &period, &none) && period > 0
               ? (uint64_t)(quota * 1000 / period)
               : UINT64_MAX;
}

uint64_t io_group_cpu_milli(const struct io_group_places *at)
{
    uint64_t v2 = least_of_groups(at->self, at->v2, "", "cpu.max", cpu_limit_v2);
    uint64_t v1 = least_of_groups(at->self, at->v1_cpu, "cpu", "cpu.cfs_quota_us", cpu_limit_v1);
    return v1 < v2 ? v1 : v2;
}

uint64_t io_group_memory_bytes(const struct io_group_places *at)
{
    uint64_t v2 = least_of_groups(at->self, at->v2, "", "memory.max", memory_limit_of);
    uint64_t v1 = least_of_groups(at->self, at->v1_memory, "memory", "memory.limit_in_bytes", memory_limit_of);
    return v1 < v2 ? v1 : v2;
}
