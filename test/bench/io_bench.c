// SPDX-License-Identifier: Apache-2.0
//
// What io/ costs, as ratios of one run: small requests on both engines, appends by size, inline and through the engine,
// sendfile against pread and send. CPU is that of the serving thread for requests, of the whole process for the rest,
// from getrusage(). Usage: io_bench [folder] [port]
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/assert.h"
#include "io/internal.h"
#include "io/io.h"

#define SECONDS(ns) ((double)(ns) / 1e9)

static uint64_t cpu_ns(int who)
{
    struct rusage u;
    getrusage(who, &u);
    return ((uint64_t)u.ru_utime.tv_sec + (uint64_t)u.ru_stime.tv_sec) * 1000000000u +
           ((uint64_t)u.ru_utime.tv_usec + (uint64_t)u.ru_stime.tv_usec) * 1000u;
}

static struct io *open_io(enum io_engine engine)
{
    struct io *io;
    struct io_config config = {.engine = engine};
    return io_create(&io, &config) == RC_OK ? io : NULL;
}

// ------------------------------------------------------------------------------------------------ echo

enum { ECHO_CLIENTS = 16, ECHO_BYTES = 64, ECHO_REQUESTS = 150000 };

struct echo_peer {
    struct io_sock sock;
    uint8_t bytes[ECHO_BYTES];
    bool served;
};

struct echo_server {
    struct io *io;
    struct io_listener listener;
    struct echo_peer peers[ECHO_CLIENTS];
    unsigned accepted, closed;
    uint64_t cpu_ns, requests;
};

static void echo_serve(struct io_sock *sock, unsigned events)
{
    struct echo_peer *p = container_of(sock, struct echo_peer, sock);
    struct echo_server *server = sock->private_data;
    size_t got, sent;
    (void)events;
    enum rc rc = io_sock_recv(sock, p->bytes, sizeof(p->bytes), &got);
    if (rc == RC_OK) {
        struct iovec v = {.iov_base = p->bytes, .iov_len = got};
        rc = io_sock_send(sock, &v, 1, &sent);
        server->requests++;
    }
    if (rc == RC_EOF || rc == RC_RESET) {
        io_sock_close(sock);
        server->closed++;
    } else {
        ASSERT(rc == RC_OK || rc == RC_AGAIN);
    }
}

static void echo_accept(struct io_listener *l, int fd, const struct io_addr *peer)
{
    struct echo_server *server = l->private_data;
    struct echo_peer *p = &server->peers[server->accepted++];
    (void)peer;
    ASSERT(io_sock_adopt(l->io, &p->sock, fd, echo_serve) == RC_OK);
    p->sock.private_data = server;
    io_sock_want(&p->sock, IO_READABLE);
}

static void echo_server_main(void *argument)
{
    struct echo_server *server = argument;
    uint64_t before_ns = cpu_ns(RUSAGE_THREAD);
    while (server->closed < ECHO_CLIENTS)
        io_poll(server->io, -1);
    server->cpu_ns = cpu_ns(RUSAGE_THREAD) - before_ns;
}

static uint64_t echo_left;

static void echo_ask(struct io_sock *sock)
{
    static uint8_t request[ECHO_BYTES];
    struct iovec v = {.iov_base = request, .iov_len = sizeof(request)};
    size_t sent;
    ASSERT(io_sock_send(sock, &v, 1, &sent) == RC_OK && sent == sizeof(request));
}

static void echo_client_ready(struct io_sock *sock, unsigned events)
{
    uint8_t bytes[ECHO_BYTES * 2];
    size_t got;
    if (events & IO_WRITABLE) {
        io_sock_want(sock, IO_READABLE);
        echo_ask(sock);
        return;
    }
    if (io_sock_recv(sock, bytes, sizeof(bytes), &got) != RC_OK)
        return;
    ASSERT(got == ECHO_BYTES);
    if (echo_left > 0)
        echo_left--;
    if (echo_left > 0)
        echo_ask(sock);
}

// Requests a second of one core that does nothing but serve.
static double echo_run(enum io_engine engine, uint16_t port)
{
    static struct echo_server server;
    static struct io_sock clients[ECHO_CLIENTS];
    server = (struct echo_server){.io = open_io(engine)};
    struct io *io = open_io(IO_ENGINE_EPOLL);
    if (!server.io || !io)
        return 0;
    struct io_addr addr;
    ASSERT(io_resolve(io, "127.0.0.1", port, &addr) == RC_OK);
    server.listener.private_data = &server;
    ASSERT(io_listen(server.io, &server.listener, &addr, echo_accept) == RC_OK);
    struct io_thread thread;
    ASSERT(io_thread_start(&thread, echo_server_main, &server, 0) == RC_OK);
    echo_left = ECHO_REQUESTS;
    for (int i = 0; i < ECHO_CLIENTS; i++) {
        ASSERT(io_sock_connect(io, &clients[i], &server.listener.addr, echo_client_ready) == RC_OK);
        io_sock_want(&clients[i], IO_WRITABLE);
    }
    while (echo_left > 0)
        io_poll(io, 100 * 1000 * 1000);
    for (int i = 0; i < ECHO_CLIENTS; i++)
        io_sock_close(&clients[i]);
    io_poll(io, 0);
    io_thread_join(&thread);
    double per_second = (double)server.requests / SECONDS(server.cpu_ns);
    printf("  %-9s %8.0f requests/s of CPU, %5.2f us each, %.2f polls a request\n", io_engine_name(server.io),
           per_second, 1e6 / per_second, (double)io_counters(server.io)->polls / (double)server.requests);
    io_listener_close(&server.listener);
    io_destroy(server.io);
    io_destroy(io);
    return per_second;
}

// ------------------------------------------------------------------------------------------------ append

static bool append_done;

static void on_appended(struct io_op *op, enum rc rc, size_t bytes)
{
    (void)op;
    (void)bytes;
    ASSERT(rc == RC_OK);
    append_done = true;
}

enum append_how { APPEND_PLAIN, APPEND_LOG, APPEND_ENGINE };

// CPU ns a write of n bytes, the kernel's workers for this process included.
static double append_run(struct io *io, const char *path, size_t n, enum append_how how, double *wall_ns)
{
    size_t total = n < 4096 ? 32u << 20 : 128u << 20;
    struct io_file f;
    io_remove_now(io, path);
    ASSERT(io_file_open(io, &f, path, IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE,
                        how == APPEND_PLAIN ? IO_FILE_OTHER : IO_FILE_LOG) == RC_OK);
    uint8_t *p = io_buffer_acquire(io, n);
    memset(p, 1, n);
    struct io_device *d = &io->devices[f.device];
    struct io_op op = {.done = on_appended};
    struct iovec v = {.iov_base = p, .iov_len = n};
    uint64_t start_ns = io_clock_ns(io), start_cpu_ns = cpu_ns(RUSAGE_SELF);
    for (uint64_t offset = 0; offset < total; offset += n) {
        d->deferred = how == APPEND_ENGINE; // the policy is not what is measured
        d->deferred_since_ns = start_ns;
        d->quick_writes = 0;
        append_done = false;
        enum rc rc = io_file_write(&op, &f, &v, 1, offset);
        ASSERT(rc == RC_OK || rc == RC_AGAIN);
        while (rc == RC_AGAIN && !append_done)
            io_poll(io, -1);
    }
    double writes = (double)(total / n);
    double result = (double)(cpu_ns(RUSAGE_SELF) - start_cpu_ns) / writes;
    *wall_ns = (double)(io_clock_ns(io) - start_ns) / writes;
    while (!list_empty(&io->in_flight))
        io_poll(io, -1);
    d->deferred = false;
    io_buffer_release(io, p, n);
    io_file_close(&f);
    io_remove_now(io, path);
    return result;
}

// The best of three: the first to touch a page of memory pays for it, on a virtual machine many times over.
static void append_best(struct io *io, const char *path, size_t n, double cpu[3], double wall[3])
{
    for (int round = 0; round < 3; round++) {
        for (int how = APPEND_PLAIN; how <= APPEND_ENGINE; how++) {
            double elapsed, used = append_run(io, path, n, (enum append_how)how, &elapsed);
            cpu[how] = round == 0 || used < cpu[how] ? used : cpu[how];
            wall[how] = round == 0 || elapsed < wall[how] ? elapsed : wall[how];
        }
    }
}

static void append_all(struct io *io, const char *path)
{
    static const size_t sizes[] = {1024, 16384, 131072, 1048576};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        double cpu[3], wall[3];
        append_best(io, path, sizes[i], cpu, wall);
        double plain = cpu[APPEND_PLAIN], logged = cpu[APPEND_LOG], engine = cpu[APPEND_ENGINE];
        printf("  %4zu KiB: inline %7.1f us (%.2f CPU-s/GB), as a log %.2f of that, through the engine %.2f;"
               " elapsed %.1f, %.1f, %.1f us\n",
               sizes[i] / 1024, plain / 1e3, plain / (double)sizes[i], logged / plain, engine / plain, wall[0] / 1e3,
               wall[1] / 1e3, wall[2] / 1e3);
    }
}

// ------------------------------------------------------------------------------------------------ send a file

struct sink {
    struct io *io;
    struct io_listener listener;
    struct io_sock sock;
    uint64_t received;
    bool open, closed;
    uint8_t *buffer;
};

enum { SINK_BYTES = 256 * 1024 };

static void sink_ready(struct io_sock *sock, unsigned events)
{
    struct sink *k = sock->private_data;
    size_t got;
    (void)events;
    enum rc rc;
    while ((rc = io_sock_recv(sock, k->buffer, SINK_BYTES, &got)) == RC_OK)
        k->received += got;
    if (rc != RC_AGAIN) {
        io_sock_close(sock);
        k->closed = true;
    }
}

static void sink_accept(struct io_listener *l, int fd, const struct io_addr *peer)
{
    struct sink *k = l->private_data;
    (void)peer;
    ASSERT(io_sock_adopt(k->io, &k->sock, fd, sink_ready) == RC_OK);
    k->sock.private_data = k;
    io_sock_want(&k->sock, IO_READABLE);
}

static void sink_main(void *argument)
{
    struct sink *k = argument;
    while (!k->closed)
        io_poll(k->io, -1);
}

static bool can_write;

static void source_ready(struct io_sock *sock, unsigned events)
{
    (void)sock;
    can_write |= (events & IO_WRITABLE) != 0;
}

// CPU seconds a GB, both ends.
static double send_run(struct io *io, struct io_file *f, size_t chunk, bool by_sendfile, uint16_t port)
{
    static struct sink k;
    k = (struct sink){.io = open_io(IO_ENGINE_EPOLL)};
    struct io_addr addr;
    ASSERT(io_resolve(io, "127.0.0.1", port, &addr) == RC_OK);
    k.listener.private_data = &k;
    ASSERT(io_listen(k.io, &k.listener, &addr, sink_accept) == RC_OK);
    k.buffer = io_buffer_acquire(k.io, SINK_BYTES);
    struct io_thread thread;
    ASSERT(io_thread_start(&thread, sink_main, &k, 1) == RC_OK);
    struct io_sock sock = {0};
    can_write = false;
    ASSERT(io_sock_connect(io, &sock, &k.listener.addr, source_ready) == RC_OK);
    uint8_t *p = io_buffer_acquire(io, chunk);
    size_t total = 256u << 20, file_bytes = 64u << 20, held = 0, n;
    uint64_t start_ns = cpu_ns(RUSAGE_SELF);
    for (size_t sent = 0; sent < total;) {
        size_t at = sent % chunk, left = chunk - at;
        uint64_t offset = (sent - at) % file_bytes;
        enum rc rc;
        if (by_sendfile) {
            rc = io_sock_send_file(&sock, f, offset + at, left, &n);
        } else {
            if (held <= sent) {
                ASSERT(io_file_read_cached(f, p, chunk, offset, &n) == RC_OK);
                held = sent + chunk;
            }
            struct iovec v = {.iov_base = p + at, .iov_len = left};
            rc = io_sock_send(&sock, &v, 1, &n);
        }
        ASSERT(rc == RC_OK || rc == RC_AGAIN || rc == RC_CLOSED || rc == RC_RESET);
        sent += n;
        if (rc != RC_OK || n < left) {
            can_write = false;
            io_sock_want(&sock, IO_WRITABLE);
            while (!can_write)
                io_poll(io, -1);
        }
    }
    double result = SECONDS(cpu_ns(RUSAGE_SELF) - start_ns) / ((double)total / 1e9);
    io_sock_close(&sock);
    io_poll(io, 0);
    io_thread_join(&thread);
    ASSERT(k.received == total);
    io_buffer_release(io, p, chunk);
    io_buffer_release(k.io, k.buffer, SINK_BYTES);
    io_listener_close(&k.listener);
    io_destroy(k.io);
    return result;
}

static void send_all(struct io *io, const char *path, uint16_t port)
{
    static const size_t chunks[] = {4096, 16384, 65536, 262144};
    struct io_file f;
    ASSERT(io_file_open(io, &f, path, IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE, IO_FILE_OTHER) == RC_OK);
    uint8_t *p = io_buffer_acquire(io, 1 << 20);
    memset(p, 2, 1 << 20);
    for (uint64_t offset = 0; offset < 64u << 20; offset += 1 << 20)
        ASSERT(io_file_write_now(&f, p, 1 << 20, offset) == RC_OK);
    io_buffer_release(io, p, 1 << 20);
    send_run(io, &f, 65536, false, port); // warm
    for (size_t i = 0; i < ARRAY_COUNT(chunks); i++) {
        double copy = 0, direct = 0;
        for (int round = 0; round < 3; round++) {
            double a = send_run(io, &f, chunks[i], false, port), b = send_run(io, &f, chunks[i], true, port);
            copy = round == 0 || a < copy ? a : copy;
            direct = round == 0 || b < direct ? b : direct;
        }
        printf("  %3zu KiB: pread and send %.2f CPU-s/GB, sendfile %.2f of that\n", chunks[i] / 1024, copy,
               direct / copy);
    }
    io_file_close(&f);
    io_remove_now(io, path);
}

// ------------------------------------------------------------------------------------------------ start

static void start_all(void)
{
    for (int engine = IO_ENGINE_URING; engine <= IO_ENGINE_EPOLL; engine++) {
        uint64_t start_ns = io_clock_now();
        struct io *io = open_io((enum io_engine)engine);
        if (!io)
            continue;
        io_poll(io, 0);
        printf("  %-9s %4.0f us to create and poll once\n", io_engine_name(io),
               (double)(io_clock_now() - start_ns) / 1e3);
        io_destroy(io);
    }
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "/tmp";
    uint16_t port = (uint16_t)(argc > 2 ? strtoul(argv[2], NULL, 10) : 0);
    char path[512];
    snprintf(path, sizeof(path), "%s/weir-io-bench.%d", folder, (int)getpid());
    printf("start\n");
    start_all();
    printf("echo of %d bytes, %d connections\n", ECHO_BYTES, ECHO_CLIENTS);
    double ring = echo_run(IO_ENGINE_URING, port), epoll = echo_run(IO_ENGINE_EPOLL, port);
    if (ring > 0)
        printf("  io_uring serves %.2f times what epoll does\n", ring / epoll);
    struct io *io = open_io(IO_ENGINE_AUTO);
    ASSERT(io);
    printf("append (%s)\n", io_engine_name(io));
    append_all(io, path);
    printf("a file of 64 MiB to a socket, four times\n");
    send_all(io, path, port);
    io_destroy(io);
    return 0;
}
