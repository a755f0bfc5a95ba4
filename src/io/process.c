// SPDX-License-Identifier: Apache-2.0
//
// What belongs to the process: limits, processors, memory, signals, the supervisor's socket, threads.
#include "io/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    FILES_TABLE_MAX = 1 << 16, // 512 KiB of the kernel's memory
    SLICE_NS = 100000,         // the shortest the kernel gives; its own are 3 ms and longer
};

// The kernel doubles a process's table of descriptors when it is full, and where threads share it, waits for a grace
// period of all CPUs each time: 2 to 20 ms inside an open() or accept(). Before there are threads it costs nothing.
static void files_table_grow(rlim_t files)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    int last = fcntl(fd, F_DUPFD_CLOEXEC, (int)(files < FILES_TABLE_MAX ? files : FILES_TABLE_MAX) - 1);
    if (last >= 0)
        close(last);
    close(fd);
}

uint64_t io_files_limit(struct io *io)
{
    (void)io;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    rlim_t files = setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_max : before;
    files_table_grow(files);
    return files;
}

// ------------------------------------------------------------------------------------------------ processors, memory

unsigned io_cpu_count(struct io *io)
{
    (void)io;
    cpu_set_t set;
    unsigned count = sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
    uint64_t quota = io_group_cpu_milli(&io_group_places);
    if (quota != UINT64_MAX && (quota + 999) / 1000 < count)
        count = (unsigned)((quota + 999) / 1000);
    return count > 0 ? count : 1;
}

bool io_cpu_has_quota(struct io *io)
{
    (void)io;
    return io_group_cpu_milli(&io_group_places) != UINT64_MAX;
}

uint64_t io_memory_bytes(struct io *io)
{
    (void)io;
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t machine = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_C(1) << 30;
    uint64_t group = io_group_memory_bytes(&io_group_places);
    return group < machine ? group : machine;
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

// The head of the kernel's struct sched_attr: what every version of it has. glibc has no call for it before 2.41.
struct sched_attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t slice_ns; // of SCHED_OTHER, 0.1 to 100 ms
    uint64_t deadline_ns, period_ns;
};

void io_thread_short_slices(void)
{
    struct sched_attributes a = {0};
    if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) != 0 || a.policy != SCHED_OTHER)
        return; // whoever chose another policy knows why
    a.size = sizeof(a);
    a.slice_ns = SLICE_NS;
    syscall(SYS_sched_setattr, 0, &a, 0);
}

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
