// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

IO_TEST(loop, waits_as_long_as_asked)
{
    uint64_t before_ns = io_clock_ns(r->io);
    cr_assert_eq(io_poll(r->io, 0), 0);
    cr_assert_eq(io_poll(r->io, 20 * 1000 * 1000), 0);
    uint64_t after_ns = io_clock_ns(r->io);
    cr_assert(after_ns - before_ns >= 20 * 1000 * 1000);
    cr_assert(io_now_ns(r->io) > before_ns && io_now_ns(r->io) <= after_ns);
    cr_assert_eq(io_counters(r->io)->waits, 1);
    cr_assert_eq(io_counters(r->io)->polls, 2);
    int64_t wall_ms = io_wall_ms(r->io);
    cr_assert(wall_ms > INT64_C(1600000000000));
}

static void *wake_later(void *io)
{
    usleep(20 * 1000);
    for (int i = 0; i < 100; i++)
        io_wake(io);
    return NULL;
}

IO_TEST(loop, another_thread_wakes_it)
{
    io_poll(r->io, 0);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, wake_later, r->io), 0);
    io_poll(r->io, -1); // for ever
    pthread_join(thread, NULL);
    // A hundred calls are few wake-ups, and none is left over for later.
    uint64_t before = io_counters(r->io)->polls;
    for (int i = 0; i < 5; i++)
        io_poll(r->io, 1000 * 1000);
    cr_assert_eq(io_counters(r->io)->polls, before + 5);
    io_wake(r->io); // before the wait counts as well
    io_poll(r->io, -1);
}

IO_TEST(loop, nothing_to_do_is_no_wake_up)
{
    int fds[2];
    struct io_sock s = {0};
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    cr_assert_eq(io_sock_adopt(r->io, &s, fds[0], NULL), RC_OK);
    io_poll(r->io, 0);
    io_poll(r->io, 0);
    uint64_t before = io_counters(r->io)->waits;
    cr_assert_eq(io_poll(r->io, 300 * 1000 * 1000), 0, "one sleep, no event");
    cr_assert_eq(io_counters(r->io)->waits, before + 1);
    io_sock_close(&s);
    close(fds[1]);
}

static int signal_seen;

static void on_stop(void *context, int number)
{
    *(bool *)context = true;
    signal_seen = number;
}

IO_TEST(loop, signals_arrive_in_poll)
{
    bool stopped = false;
    cr_assert_eq(io_on_signal(r->io, on_stop, &stopped), RC_OK);
    kill(getpid(), SIGTERM);
    cr_assert(rig_until(r, &stopped));
    cr_assert_eq(signal_seen, SIGTERM);
    stopped = false;
    kill(getpid(), SIGINT);
    cr_assert(rig_until(r, &stopped));
    cr_assert_eq(signal_seen, SIGINT);
}

IO_TEST(loop, supervisor_is_told)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/notify", r->folder);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    io_notify(r->io, "READY=1"); // nowhere to go: nothing happens
    setenv("NOTIFY_SOCKET", sa.sun_path, 1);
    io_notify(r->io, "READY=1");
    char text[32] = "";
    cr_assert_eq(recv(fd, text, sizeof(text), MSG_DONTWAIT), 7);
    cr_assert_str_eq(text, "READY=1");
    unsetenv("NOTIFY_SOCKET");
    close(fd);
}

static void thread_fn(void *argument)
{
    *(int *)argument = 42;
}

IO_TEST(process, figures_and_threads)
{
    cr_assert(io_cpu_count(r->io) >= 1);
    cr_assert(io_memory_bytes(r->io) >= 64u << 20);
    cr_assert(io_files_limit(r->io) >= 256);
    char boot[IO_BOOT_ID_BYTES], again[IO_BOOT_ID_BYTES];
    io_boot_id(r->io, boot);
    io_boot_id(r->io, again);
    cr_assert_str_eq(boot, again);
    uint64_t a = 0, b = 0;
    io_random(r->io, &a, sizeof(a));
    io_random(r->io, &b, sizeof(b));
    cr_assert(a != b);
    int seen = 0;
    struct io_thread t;
    cr_assert_eq(io_thread_start(&t, thread_fn, &seen, 5), RC_OK);
    io_thread_join(&t);
    cr_assert_eq(seen, 42);
}

// ------------------------------------------------------------------------------------------------ addresses

IO_TEST(addr, text_and_kinds)
{
    struct {
        const char *host, *text;
        bool loopback, any;
    } cases[] = {
        {"127.0.0.1", "127.0.0.1:22010", true, false},
        {"::1", "[::1]:22010", true, false},
        {"[::1]", "[::1]:22010", true, false},
        {"0.0.0.0", "0.0.0.0:22010", false, true},
        {"::", "[::]:22010", false, true},
        {"192.0.2.7", "192.0.2.7:22010", false, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct io_addr a;
        char text[IO_ADDR_TEXT_MAX];
        cr_assert_eq(io_resolve(r->io, cases[i].host, 22010, &a), RC_OK);
        io_addr_format(&a, text);
        cr_assert_str_eq(text, cases[i].text);
        cr_assert_eq(io_addr_is_loopback(&a), cases[i].loopback);
        cr_assert_eq(io_addr_is_any(&a), cases[i].any);
        cr_assert_eq(io_addr_is_local(r->io, &a), cases[i].loopback || cases[i].any);
    }
    struct io_addr a;
    cr_assert_eq(io_resolve(r->io, "localhost", 1, &a), RC_OK);
    cr_assert(io_addr_is_loopback(&a));
    cr_assert_eq(io_resolve(r->io, "", 1, &a), RC_INVALID);
    cr_assert_eq(io_resolve(r->io, "[::1", 1, &a), RC_INVALID);
    cr_assert_eq(io_resolve(r->io, "no-such-host.invalid", 1, &a), RC_UNREACHABLE);
}

// ------------------------------------------------------------------------------------------------ engine choice

static char last_line[1024];
static unsigned line_count;

static void keep_line(struct trace_sink *sink, enum trace_level level, const char *line, size_t n)
{
    (void)sink;
    (void)level;
    line_count++;
    snprintf(last_line, sizeof(last_line), "%.*s", (int)n, line);
}

// From here on this system call fails with this error in this process (each test is one).
static void forbid(unsigned call, int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((unsigned)error & SECCOMP_RET_DATA)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = 4, .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        cr_skip_test("seccomp filters cannot be set here");
}

static void fall_back_from(unsigned call, int error, const char *cause)
{
    struct trace_sink sink = {.level_min = TRACE_DEBUG, .write = keep_line};
    struct io_config config = {.engine = IO_ENGINE_AUTO, .trace = &sink};
    struct io *io;
    forbid(call, error);
    cr_assert_eq(io_create(&io, &config), RC_OK);
    cr_assert_str_eq(io_engine_name(io), "epoll");
    cr_assert_eq(line_count, 1, "one line");
    cr_assert(strstr(last_line, "falling back to epoll") && strstr(last_line, cause), "%s", last_line);
    io_poll(io, 0);
    io_destroy(io);
    config.engine = IO_ENGINE_URING;
    cr_assert_eq(io_create(&io, &config), RC_UNSUPPORTED);
    cr_assert(strstr(last_line, cause), "%s", last_line);
}

static void fall_back(int error, const char *cause)
{
    fall_back_from(SYS_io_uring_setup, error, cause);
}

// A profile that forbids only one of the calls.
Test(engine, half_a_ring_is_none)
{
    fall_back_from(SYS_io_uring_register, EPERM, "seccomp");
}

Test(engine, seccomp_is_named)
{
    fall_back(EPERM, "seccomp");
}

Test(engine, an_old_kernel_is_named)
{
    fall_back(EINVAL, "older than 6.1");
}

Test(engine, a_kernel_without_it_is_named)
{
    fall_back(ENOSYS, "ENOSYS");
}

Test(engine, the_memory_limit_is_named)
{
    fall_back(ENOMEM, "locked memory");
}

// Kernels before 5.11, and profiles that do not know the call: milliseconds, rounded up.
Test(engine, epoll_without_nanoseconds)
{
    struct io_config config = {.engine = IO_ENGINE_EPOLL};
    struct io *io;
    forbid(SYS_epoll_pwait2, ENOSYS);
    cr_assert_eq(io_create(&io, &config), RC_OK);
    uint64_t start_ns = io_clock_ns(io);
    io_poll(io, 0);
    cr_assert_eq(io_poll(io, 5500 * 1000), 0);
    cr_assert(io_clock_ns(io) - start_ns >= 5500 * 1000);
    io_wake(io);
    io_poll(io, -1);
    io_destroy(io);
}
