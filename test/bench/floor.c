// SPDX-License-Identifier: Apache-2.0
//
// The floor: what the same bytes cost a program that does nothing with them. A child serves, the parent drives it over
// loopback; the child's CPU time is the figure. tools/bench prints the broker's cost beside it, from the same minute.
//
//   floor echo CONNECTIONS REQUEST_BYTES SECONDS   reads a request, answers 64 bytes                 us a request
//   floor in   FILE BLOCK_BYTES TOTAL_BYTES [RATE] reads blocks, appends them to FILE, answers each   CPU s a GB
//   floor out  FILE PIECE_BYTES TOTAL_BYTES        sends FILE by sendfile, piece by piece             CPU s a GB
//
// RATE is in bytes a second; without it the driver sends as fast as it can. The server has the last core that is allowed,
// the driver the others, as a broker and its load: on one core, where the scheduler likes to put two that wake each
// other, a block at a rate costs 0.5 s a GB instead of 0.8 to 1.0, for nobody wakes another core and caches stay warm.
// Prints one JSON object.
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_BYTES = 64, CONNECTIONS_MAX = 256, IN_FLIGHT = 5 };

static void die(const char *what)
{
    perror(what);
    exit(1);
}

// One core alone: both run on it.
static void pin(bool server)
{
    cpu_set_t allowed, mine;
    size_t last = 0;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) || CPU_COUNT(&allowed) < 2)
        return;
    for (size_t i = 0; i < CPU_SETSIZE; i++)
        last = CPU_ISSET(i, &allowed) ? i : last;
    CPU_ZERO(&mine);
    CPU_SET(last, &mine);
    if (!server)
        CPU_XOR(&mine, &mine, &allowed);
    if (sched_setaffinity(0, sizeof(mine), &mine))
        die("sched_setaffinity");
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int listen_any(struct sockaddr_in *addr)
{
    socklen_t n = sizeof(*addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    *addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (struct sockaddr *)addr, n) || listen(fd, 64) ||
        getsockname(fd, (struct sockaddr *)addr, &n))
        die("listen");
    return fd;
}

static int connect_to(const struct sockaddr_in *addr)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (fd < 0 || connect(fd, (const struct sockaddr *)addr, sizeof(*addr)))
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static void write_all(int fd, const void *p, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t w = write(fd, (const char *)p + done, n - done);
        if (w <= 0)
            die("write");
        done += (size_t)w;
    }
}

// False at the end of the stream.
static bool read_all(int fd, void *p, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t r = read(fd, (char *)p + done, n - done);
        if (r < 0)
            die("read");
        if (r == 0)
            return false;
        done += (size_t)r;
    }
    return true;
}

// ------------------------------------------------------------------------------------------------ servers

// Requests of a fixed size on many connections; partial ones wait in the kernel or in a counter.
static void serve_echo(int listener, size_t request_bytes, int connections)
{
    static size_t got[CONNECTIONS_MAX * 4];
    char *buffer = malloc(request_bytes), answer[ANSWER_BYTES] = {0};
    int epoll = epoll_create1(0), open = 0, one = 1;
    for (; open < connections; open++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        if (fd < 0 || (size_t)fd >= sizeof(got) / sizeof(got[0]) || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e))
            die("accept");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    while (open > 0) {
        struct epoll_event events[64];
        int n = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            ssize_t r = read(fd, buffer, request_bytes - got[fd]);
            if (r < 0 && errno == EAGAIN)
                continue;
            if (r <= 0) {
                close(fd);
                open--;
                continue;
            }
            got[fd] += (size_t)r;
            if (got[fd] == request_bytes) {
                got[fd] = 0;
                write_all(fd, answer, sizeof(answer));
            }
        }
    }
}

static void serve_in(int listener, const char *path, size_t block_bytes)
{
    char *buffer = malloc(block_bytes), answer[ANSWER_BYTES] = {0};
    int fd = accept(listener, NULL, NULL), one = 1;
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    off_t at = 0;
    if (fd < 0 || file < 0)
        die(path);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    while (read_all(fd, buffer, block_bytes)) {
        if (pwrite(file, buffer, block_bytes, at) != (ssize_t)block_bytes)
            die("pwrite");
        at += (off_t)block_bytes;
        write_all(fd, answer, sizeof(answer));
    }
}

static void serve_out(int listener, const char *path, size_t piece_bytes)
{
    char request[ANSWER_BYTES];
    int fd = accept(listener, NULL, NULL);
    int file = open(path, O_RDONLY);
    off_t at = 0;
    if (fd < 0 || file < 0)
        die(path);
    off_t size = lseek(file, 0, SEEK_END);
    while (read_all(fd, request, sizeof(request))) {
        if (at + (off_t)piece_bytes > size)
            at = 0;
        for (size_t left = piece_bytes; left > 0;) {
            ssize_t sent = sendfile(fd, file, &at, left);
            if (sent <= 0)
                die("sendfile");
            left -= (size_t)sent;
        }
    }
}

// ------------------------------------------------------------------------------------------------ drivers

static uint64_t drive_echo(const struct sockaddr_in *addr, int connections, size_t request_bytes, double seconds)
{
    char *request = calloc(1, request_bytes), answer[ANSWER_BYTES];
    int fds[CONNECTIONS_MAX];
    uint64_t count = 0;
    double end = now_s() + seconds;
    for (int i = 0; i < connections; i++)
        fds[i] = connect_to(addr);
    while (now_s() < end) {
        for (int i = 0; i < connections; i++)
            write_all(fds[i], request, request_bytes);
        for (int i = 0; i < connections; i++)
            read_all(fds[i], answer, sizeof(answer));
        count += (uint64_t)connections;
    }
    for (int i = 0; i < connections; i++)
        close(fds[i]);
    return count;
}

static void wait_until(double then_s)
{
    double wait_s = then_s - now_s();
    if (wait_s > 0)
        usleep((useconds_t)(wait_s * 1e6));
}

static uint64_t drive_in(const struct sockaddr_in *addr, size_t block_bytes, uint64_t total, double rate)
{
    char *block = malloc(block_bytes), answer[ANSWER_BYTES];
    int fd = connect_to(addr), in_flight = 0;
    uint64_t sent = 0;
    double begin_s = now_s();
    memset(block, 'x', block_bytes);
    for (; sent < total; sent += block_bytes) {
        if (rate > 0)
            wait_until(begin_s + (double)sent / rate);
        write_all(fd, block, block_bytes);
        if (++in_flight == (rate > 0 ? 1 : IN_FLIGHT)) { // at a rate each answer finds the driver waiting
            read_all(fd, answer, sizeof(answer));
            in_flight--;
        }
    }
    while (in_flight-- > 0)
        read_all(fd, answer, sizeof(answer));
    close(fd);
    return sent;
}

static uint64_t drive_out(const struct sockaddr_in *addr, size_t piece_bytes, uint64_t total)
{
    char *piece = malloc(piece_bytes), request[ANSWER_BYTES] = {0};
    int fd = connect_to(addr);
    uint64_t got = 0;
    for (; got < total; got += piece_bytes) {
        write_all(fd, request, sizeof(request));
        read_all(fd, piece, piece_bytes);
    }
    close(fd);
    return got;
}

int main(int argc, char **argv)
{
    struct sockaddr_in addr;
    struct rusage used;
    if (argc != 5 && argc != 6) {
        fprintf(stderr,
                "usage: floor echo CONNECTIONS REQUEST_BYTES SECONDS\n"
                "       floor in FILE BLOCK_BYTES TOTAL_BYTES [BYTES_A_SECOND]\n       floor out FILE PIECE_BYTES TOTAL_BYTES\n");
        return 2;
    }
    const char *mode = argv[1];
    bool echo = strcmp(mode, "echo") == 0, in = strcmp(mode, "in") == 0;
    size_t bytes = strtoul(argv[3], NULL, 10);
    long connections = echo ? strtol(argv[2], NULL, 10) : 1;
    if (connections < 1 || connections > CONNECTIONS_MAX || bytes == 0)
        return 2;
    int listener = listen_any(&addr);
    pid_t child = fork();
    pin(child == 0);
    if (child == 0) {
        if (echo)
            serve_echo(listener, bytes, (int)connections);
        else if (in)
            serve_in(listener, argv[2], bytes);
        else
            serve_out(listener, argv[2], bytes);
        _exit(0);
    }
    double begin = now_s();
    uint64_t count = echo ? drive_echo(&addr, (int)connections, bytes, strtod(argv[4], NULL))
                     : in ? drive_in(&addr, bytes, strtoull(argv[4], NULL, 10), argc == 6 ? strtod(argv[5], NULL) : 0)
                          : drive_out(&addr, bytes, strtoull(argv[4], NULL, 10));
    double seconds = now_s() - begin;
    if (wait4(child, NULL, 0, &used) != child)
        die("wait4");
    double cpu = (double)used.ru_utime.tv_sec + (double)used.ru_utime.tv_usec / 1e6 + (double)used.ru_stime.tv_sec +
                 (double)used.ru_stime.tv_usec / 1e6;
    printf("{\"mode\":\"%s\",\"seconds\":%.3f,\"%s\":%llu,\"cpu_s\":%.3f,\"%s\":%.3f}\n", mode, seconds,
           echo ? "requests" : "bytes", (unsigned long long)count, cpu, echo ? "cpu_us_per_request" : "cpu_s_per_gb",
           echo ? cpu * 1e6 / (double)count : cpu / ((double)count / 1e9));
    return 0;
}
