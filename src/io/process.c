// SPDX-License-Identifier: Apache-2.0
//
// What belongs to the process: limits, processors, memory, signals, the supervisor's socket, threads.
#include "io/internal.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

uint64_t io_files_limit(struct io *io)
{
    (void)io;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_max : before;
}

// ------------------------------------------------------------------------------------------------ control groups

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
static bool own_group(const char *controller, char *out, size_t out_bytes)
{
    FILE *f = fopen("/proc/self/cgroup", "re");
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

// Least value of file over the process's group and all above it; visit() turns the numbers of one into a value.
static uint64_t least_of_groups(const char *root, const char *controller, const char *file,
                                uint64_t (*value)(const char *path))
{
    char group[768], path[1024];
    uint64_t least = UINT64_MAX;
    if (!own_group(controller, group, sizeof(group)))
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

static uint64_t cpu_quota_milli(void)
{
    uint64_t v2 = least_of_groups("/sys/fs/cgroup", "", "cpu.max", cpu_limit_v2);
    uint64_t v1 = least_of_groups("/sys/fs/cgroup/cpu", "cpu", "cpu.cfs_quota_us", cpu_limit_v1);
    return v1 < v2 ? v1 : v2;
}

unsigned io_cpu_count(struct io *io)
{
    (void)io;
    cpu_set_t set;
    unsigned count = sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
    uint64_t quota = cpu_quota_milli();
    if (quota != UINT64_MAX && (quota + 999) / 1000 < count)
        count = (unsigned)((quota + 999) / 1000);
    return count > 0 ? count : 1;
}

bool io_cpu_has_quota(struct io *io)
{
    (void)io;
    return cpu_quota_milli() != UINT64_MAX;
}

uint64_t io_memory_bytes(struct io *io)
{
    (void)io;
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t least = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_C(1) << 30;
    uint64_t v2 = least_of_groups("/sys/fs/cgroup", "", "memory.max", memory_limit_of);
    uint64_t v1 = least_of_groups("/sys/fs/cgroup/memory", "memory", "memory.limit_in_bytes", memory_limit_of);
    least = v2 < least ? v2 : least;
    return v1 < least ? v1 : least;
}

// ------------------------------------------------------------------------------------------------ signals, supervisor

enum rc io_on_signal(struct io *io, void (*stop)(void *context, int signal_number), void *context)
{
    ASSERT(io->stop_slot == IO_SLOT_NONE);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    int error = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (error)
        return io_rc_of_errno(error);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return io_rc_of_errno(errno);
    enum rc rc = io_slot_open(io, IO_SLOT_SIGNAL, fd, io, &io->stop_slot);
    if (rc != RC_OK) {
        close(fd);
        return rc;
    }
    io->stop = stop;
    io->stop_context = context;
    error = io->calls->watch(io, io->stop_slot);
    return io_rc_of_errno(error);
}

void io_signal_dispatch(struct io *io, uint32_t slot)
{
    struct signalfd_siginfo info;
    while (read(io->slots[slot].fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        io->stop(io->stop_context, (int)info.ssi_signo);
}

void io_notify(struct io *io, const char *state)
{
    (void)io;
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    if (n < 2 || n >= sizeof(sa.sun_path) || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(sa.sun_path, path, n);
    if (sa.sun_path[0] == '@')
        sa.sun_path[0] = 0; // the abstract name space
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&sa,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    (void)sent; // a supervisor that is gone is told nothing
    close(fd);
}

// ------------------------------------------------------------------------------------------------ threads

struct thread_start {
    void (*fn)(void *argument);
    void *argument;
    int cpu;
};

static void pin_to(int nth)
{
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0 || CPU_COUNT(&allowed) == 0)
        return;
    nth %= CPU_COUNT(&allowed);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || nth-- > 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof(one), &one);
        return;
    }
}

static void *thread_main(void *p)
{
    struct thread_start start = *(struct thread_start *)p;
    free(p);
    if (start.cpu >= 0)
        pin_to(start.cpu);
    start.fn(start.argument);
    return NULL;
}

enum rc io_thread_start(struct io_thread *t, void (*fn)(void *argument), void *argument, int cpu)
{
    struct thread_start *start = malloc(sizeof(*start));
    if (!start)
        return RC_NOMEM;
    *start = (struct thread_start){.fn = fn, .argument = argument, .cpu = cpu};
    pthread_t thread;
    int error = pthread_create(&thread, NULL, thread_main, start);
    if (error) {
        free(start);
        return error == EAGAIN ? RC_NOMEM : io_rc_of_errno(error);
    }
    t->handle = thread;
    return RC_OK;
}

void io_thread_join(struct io_thread *t)
{
    pthread_join(t->handle, NULL);
}
