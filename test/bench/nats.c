// SPDX-License-Identifier: Apache-2.0
//
// A load for NATS JetStream, which weir perf does not speak: each connection publishes a message to the stream, waits for its
// acknowledgement and publishes the next, as `weir perf produce --requests 1` does with requests of one record.
//
//     nats PORT SUBJECT CONNECTIONS BYTES SECONDS
//
// Prints {"requests", "requests_per_s", "p50", "p99", "p99.9"}; times in microseconds. Every acknowledgement must name the
// stream and a sequence; anything else ends it with 1.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 256, LINE_MAX_BYTES = 4096, BYTES_MAX = 1 << 16, SAMPLES_MAX = 1 << 23 };

struct connection {
    int fd;
    char in[LINE_MAX_BYTES];
    size_t have;
    uint64_t sent_ns;
};

static struct connection connections[CONNECTIONS_MAX];
static uint32_t samples_us[SAMPLES_MAX];
static char publish[BYTES_MAX + LINE_MAX_BYTES];
static size_t publish_bytes;

static _Noreturn void stop(const char *why)
{
    fprintf(stderr, "nats: %s\n", why);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void send_all(struct connection *c, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t put = send(c->fd, p, n, MSG_NOSIGNAL);
        if (put < 0 && errno != EINTR)
            stop("the server has closed a connection");
        p += put > 0 ? put : 0;
        n -= put > 0 ? (size_t)put : 0;
    }
}

static void receive(struct connection *c)
{
    ssize_t got = recv(c->fd, c->in + c->have, sizeof(c->in) - 1 - c->have, 0);
    if (got <= 0)
        stop("the server has closed a connection");
    c->have += (size_t)got;
    c->in[c->have] = 0;
}

static void drop(struct connection *c, size_t n)
{
    c->have -= n;
    memmove(c->in, c->in + n, c->have + 1);
}

// Takes one whole acknowledgement; false when there is none yet.
static int acknowledged(struct connection *c)
{
    if (strncmp(c->in, "PING\r\n", 6) == 0) {
        send_all(c, "PONG\r\n", 6);
        drop(c, 6);
    }
    char *end = strstr(c->in, "\r\n");
    if (!end)
        return 0;
    if (strncmp(c->in, "MSG ", 4) != 0)
        stop(c->in);
    *end = 0;
    const char *size = strrchr(c->in, ' ');
    size_t body = size ? strtoul(size, NULL, 10) : 0, whole = (size_t)(end - c->in) + 2 + body + 2;
    *end = '\r';
    if (whole >= sizeof(c->in))
        stop("an acknowledgement is too long");
    if (c->have < whole)
        return 0;
    const char *sequence = strstr(end + 2, "\"seq\":"), *error = strstr(end + 2, "\"error\"");
    if (!sequence || sequence >= c->in + whole || (error && error < c->in + whole))
        stop(end + 2);
    drop(c, whole);
    return 1;
}

static void open_connection(struct connection *c, int port, int number)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    char hello[256];
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&at, sizeof(at)) != 0)
        stop("no connection");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    snprintf(hello, sizeof(hello), "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB acks.%d 1\r\nPING\r\n", number);
    send_all(c, hello, strlen(hello));
    while (!strstr(c->in, "PONG\r\n"))
        receive(c);
    c->have = 0;
}

static void publish_one(struct connection *c, const char *subject, size_t bytes)
{
    int head = snprintf(publish, LINE_MAX_BYTES, "PUB %s acks.%d %zu\r\n", subject, (int)(c - connections), bytes);
    memset(publish + head, 'x', bytes);
    memcpy(publish + head + bytes, "\r\n", 2);
    publish_bytes = (size_t)head + bytes + 2;
    c->sent_ns = now_ns();
    send_all(c, publish, publish_bytes);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    int port = argc == 6 ? (int)strtol(argv[1], NULL, 10) : 0, count = argc == 6 ? (int)strtol(argv[3], NULL, 10) : 0;
    size_t bytes = argc == 6 ? strtoul(argv[4], NULL, 10) : 0, requests = 0;
    double seconds = argc == 6 ? strtod(argv[5], NULL) : 0;
    if (port < 1 || count < 1 || count > CONNECTIONS_MAX || bytes < 1 || bytes > BYTES_MAX || seconds <= 0)
        stop("usage: nats PORT SUBJECT CONNECTIONS BYTES SECONDS");
    int epoll = epoll_create1(EPOLL_CLOEXEC), waiting = count;
    for (int k = 0; k < count; k++) {
        struct epoll_event e = {.events = EPOLLIN, .data = {.ptr = &connections[k]}};
        open_connection(&connections[k], port, k);
        epoll_ctl(epoll, EPOLL_CTL_ADD, connections[k].fd, &e);
    }
    uint64_t begin = now_ns(), end = begin + (uint64_t)(seconds * 1e9), now = begin;
    for (int k = 0; k < count; k++)
        publish_one(&connections[k], argv[2], bytes);
    while (waiting > 0) {
        struct epoll_event events[CONNECTIONS_MAX];
        int n = epoll_wait(epoll, events, CONNECTIONS_MAX, 30000);
        if (n == 0)
            stop("no acknowledgement in 30 s");
        for (int k = 0; k < n; k++) {
            struct connection *c = events[k].data.ptr;
            receive(c);
            if (!acknowledged(c))
                continue;
            now = now_ns();
            samples_us[requests++ % SAMPLES_MAX] = (uint32_t)((now - c->sent_ns) / 1000);
            if (now < end)
                publish_one(c, argv[2], bytes);
            else
                waiting--;
        }
    }
    size_t kept = requests < SAMPLES_MAX ? requests : SAMPLES_MAX;
    qsort(samples_us, kept, sizeof(*samples_us), by_size);
    printf("{\"requests\": %zu, \"requests_per_s\": %.1f, \"p50\": %u, \"p99\": %u, \"p99.9\": %u}\n", requests,
           (double)requests / ((double)(now - begin) / 1e9), samples_us[kept / 2], samples_us[kept * 99 / 100],
           samples_us[kept * 999 / 1000]);
    return 0;
}
