// SPDX-License-Identifier: Apache-2.0
//
// The floor of a latency: requests at a fixed rate to a plain echo over loopback, timed from when each was due, so that a
// stall is seen by all it delayed, as weir perf does. The echo is pinned to one core, the load to another.
//
//   pace CONNECTIONS REQUEST_BYTES RATE SECONDS ECHO_CORE LOAD_CORE     (a core of -1: not pinned)
//
// Prints one JSON object, microseconds; cpu_us_per_request is what the echo used, which at a low rate is mostly being woken and
// waking.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 256, REQUEST_BYTES_MAX = 1 << 20, ANSWER_BYTES = 64, IN_FLIGHT_MAX = 1024 };

// One side of a connection: how much of what it waits for has come, and when the requests under way were due.
struct side {
    int fd;
    size_t got;
    uint64_t due[IN_FLIGHT_MAX];
    uint32_t first, count;
};

static struct side sides[CONNECTIONS_MAX];
static char buffer[REQUEST_BYTES_MAX];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void pin(long core)
{
    cpu_set_t set;
    if (core < 0)
        return;
    CPU_ZERO(&set);
    CPU_SET((size_t)core, &set);
    if (sched_setaffinity(0, sizeof(set), &set))
        die("sched_setaffinity");
}

static void send_all(int fd, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t w = send(fd, buffer, n - done, MSG_NOSIGNAL);
        if (w < 0)
            die("send");
        done += (size_t)w;
    }
}

// How many whole messages of n bytes came; -1 at the end of the stream.
static int receive(struct side *s, size_t n)
{
    ssize_t r = recv(s->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (r <= 0)
        return r < 0 && errno == EAGAIN ? 0 : -1;
    s->got += (size_t)r;
    int whole = (int)(s->got / n);
    s->got %= n;
    return whole;
}

static int watch(int connections)
{
    int epoll = epoll_create1(0), one = 1;
    for (int i = 0; i < connections; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        if (setsockopt(sides[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ||
            epoll_ctl(epoll, EPOLL_CTL_ADD, sides[i].fd, &e))
            die("watch");
    }
    return epoll;
}

static void serve(int listener, int connections, size_t request_bytes)
{
    int open = connections;
    for (int i = 0; i < connections; i++)
        sides[i].fd = accept(listener, NULL, NULL);
    int epoll = watch(connections);
    while (open > 0) {
        struct epoll_event events[64];
        int n = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < n; i++) {
            struct side *s = &sides[events[i].data.u32];
            int whole = receive(s, request_bytes);
            if (whole < 0) {
                close(s->fd);
                open--;
            }
            for (; whole > 0; whole--)
                send_all(s->fd, ANSWER_BYTES);
        }
    }
}

// Sends each request when it is due, on the next connection; returns how many were answered, their times in took_us.
static size_t drive(int connections, size_t request_bytes, double rate, size_t total, double *took_us)
{
    int epoll = watch(connections);
    uint64_t begin = now_ns();
    size_t sent = 0, answered = 0;
    while (answered < total) {
        uint64_t now = now_ns(), due = begin + (uint64_t)((double)sent * 1e9 / rate);
        struct side *next = &sides[sent % (size_t)connections];
        if (sent < total && due <= now && next->count < IN_FLIGHT_MAX) {
            next->due[(next->first + next->count++) % IN_FLIGHT_MAX] = due;
            sent++;
            send_all(next->fd, request_bytes);
            continue;
        }
        struct epoll_event events[64];
        struct timespec wait = {0};
        wait.tv_nsec = sent == total ? 100000000 : due > now ? (long)(due - now < 100000000 ? due - now : 100000000) : 0;
        int n = epoll_pwait2(epoll, events, 64, &wait, NULL);
        for (int i = 0; i < n; i++) {
            struct side *s = &sides[events[i].data.u32];
            int whole = receive(s, ANSWER_BYTES);
            if (whole < 0)
                die("the echo ended");
            for (now = now_ns(); whole > 0; whole--) {
                took_us[answered++] = (double)(now - s->due[s->first]) / 1e3;
                s->first = (s->first + 1) % IN_FLIGHT_MAX;
                s->count--;
            }
        }
    }
    return answered;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(addr);
    long connections = argc == 7 ? strtol(argv[1], NULL, 10) : 0;
    size_t bytes = argc == 7 ? strtoul(argv[2], NULL, 10) : 0;
    double rate = argc == 7 ? strtod(argv[3], NULL) : 0, seconds = argc == 7 ? strtod(argv[4], NULL) : 0;
    if (connections < 1 || connections > CONNECTIONS_MAX || bytes < 1 || bytes > REQUEST_BYTES_MAX || rate < 1 ||
        rate * seconds < 1 || rate * seconds > 1e8) {
        fprintf(stderr, "usage: pace CONNECTIONS REQUEST_BYTES RATE SECONDS ECHO_CORE LOAD_CORE\n");
        return 2;
    }
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&addr, n) || listen(listener, CONNECTIONS_MAX) ||
        getsockname(listener, (struct sockaddr *)&addr, &n))
        die("listen");
    pid_t child = fork();
    if (child == 0) {
        pin(strtol(argv[5], NULL, 10));
        serve(listener, (int)connections, bytes);
        _exit(0);
    }
    pin(strtol(argv[6], NULL, 10));
    for (long i = 0; i < connections; i++) {
        sides[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (sides[i].fd < 0 || connect(sides[i].fd, (struct sockaddr *)&addr, n))
            die("connect");
    }
    size_t total = (size_t)(rate * seconds);
    double *took_us = malloc(total * sizeof(*took_us));
    if (!took_us)
        die("malloc");
    size_t count = drive((int)connections, bytes, rate, total, took_us);
    for (long i = 0; i < connections; i++)
        close(sides[i].fd);
    struct rusage used;
    wait4(child, NULL, 0, &used);
    double cpu_s = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                   (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    qsort(took_us, count, sizeof(*took_us), by_value);
    printf("{\"requests\":%zu,\"p50\":%.1f,\"p99\":%.1f,\"p99.9\":%.1f,\"max\":%.1f,\"cpu_us_per_request\":%.2f}\n",
           count, took_us[count / 2], took_us[(size_t)((double)count * 0.99)], took_us[(size_t)((double)count * 0.999)],
           took_us[count - 1], cpu_s * 1e6 / (double)count);
    free(took_us);
    return 0;
}
