// SPDX-License-Identifier: Apache-2.0
//
// The seam: the only way from weir to files, sockets, clocks, randomness, threads and signals. Two engines live behind
// it in the executable (uring.c, epoll.c); the simulator in test/sim links its own implementation of this header
// instead. Nothing above makes a system call, and nothing here knows Kafka.
//
// One `struct io` belongs to one shard and one thread: the one that polls first. It may be created elsewhere, and
// inline calls may be made elsewhere before that; afterwards only io_wake() may be called from another thread.
// Callbacks run inside io_poll() on the owner's thread, never inside the call that started the operation. Paths are
// UTF-8, absolute or relative to the working folder of the process, at most IO_PATH_BYTES_MAX with the terminating
// zero.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"
#include "base/rc.h"
#include "base/trace.h"

enum { IO_PATH_BYTES_MAX = 1024, IO_ADDR_TEXT_MAX = 64, IO_HOST_BYTES_MAX = 256, IO_VECS_MAX = 256 };

struct io;

// ------------------------------------------------------------------------------------------------ life and loop

enum io_engine { IO_ENGINE_AUTO, IO_ENGINE_URING, IO_ENGINE_EPOLL };

struct io_config {
    enum io_engine engine;
    uint32_t ring_entries;    // submission queue size, 0 for the default
    struct trace_sink *trace; // may be NULL; must outlive the io
};

// Boot only. RC_UNSUPPORTED when engine is URING and the kernel refuses it (the line says why); AUTO falls back to
// epoll with one line that names the cause.
enum rc io_create(struct io **out, const struct io_config *config);
// Waits for every operation in flight and runs its done(), closes the sockets and listeners that are still open, frees.
// On the owner's thread, or on another after the owner's has ended and nothing is in flight.
void io_destroy(struct io *io);
// "io_uring" or "epoll" (or "simulated"). Static string.
const char *io_engine_name(const struct io *io);

// Runs the callbacks of whatever completed; if nothing has, waits for the first for at most timeout_ns (0: do not wait,
// negative: for ever). Returns the number of callbacks run.
unsigned io_poll(struct io *io, int64_t timeout_ns);
// Makes a waiting io_poll() of this io return soon. Any thread.
void io_wake(struct io *io);

// Monotonic time. io_now_ns() is read once a turn by io_poll() and costs nothing; io_clock_ns() asks the kernel.
uint64_t io_now_ns(const struct io *io);
uint64_t io_clock_ns(struct io *io);
// Wall clock in Unix milliseconds. No safety may rest on it.
int64_t io_wall_ms(struct io *io);
// n bytes fit for ids and secrets.
void io_random(struct io *io, void *p, size_t n);

// ------------------------------------------------------------------------------------------------ completions

struct io_op;
// rc and, for reads and writes, the bytes moved. The op may be reused or freed from here on.
typedef void (*io_done_fn)(struct io_op *op, enum rc rc, size_t bytes);

// Embedded by whoever starts an operation, zeroed before its first use; must stay where it is until done() runs. Never
// allocated on the data path.
struct io_op {
    io_done_fn done; // set by the owner before the call
    // private to io/
    struct list_node link;
    struct io *io;
    uint32_t kind;
    uint32_t state;
    int fd;
    enum rc rc;
    uint64_t offset;
    void *p;
    size_t n, moved;
    const struct iovec *vecs;
    unsigned vec_count;
    uint8_t byte; // where a prefetch reads its last byte to
    uint64_t started_ns;
    struct io_op *next; // in the helpers' queues
    struct io_file *file;
    char *path;
};

static inline bool io_op_busy(const struct io_op *op)
{
    return op->state != 0;
}

// ------------------------------------------------------------------------------------------------ files

// What a file is, for the counters.
enum io_file_kind { IO_FILE_OTHER, IO_FILE_LOG, IO_FILE_KINDS };

struct io_file {
    struct io *io; // NULL when closed
    int fd;
    enum io_file_kind kind;
    // private to io/
    bool is_dir;
    uint32_t device;             // place in the io's table of devices
    uint64_t appended_bytes;     // since it was opened
    uint64_t written_back_bytes; // offset to which write-back was started
    uint64_t allocated_bytes;    // offset to which blocks were allocated ahead, 0 when none
    void *private_data;          // the owner's
};

enum io_open_flags {
    IO_OPEN_READ = 1,
    IO_OPEN_WRITE = 2,
    IO_OPEN_CREATE = 4,    // make it if it is not there
    IO_OPEN_EXCLUSIVE = 8, // with CREATE: RC_EXISTS if it is there
    IO_OPEN_TRUNCATE = 16,
    IO_OPEN_DIRECTORY = 32, // a folder, for io_sync*() only
};

static inline bool io_file_is_open(const struct io_file *f)
{
    return f->io != NULL;
}

// Inline calls: they finish before they return. Those marked [boot] may block for long and are for start, stop and
// command line only; jobs on a shard use the completions further down.
// Errors: RC_NOT_FOUND, RC_EXISTS, RC_PERMISSION, RC_NO_FILES, RC_NO_SPACE, RC_IO.
enum rc io_file_open(struct io *io, struct io_file *f, const char *path, unsigned flags, enum io_file_kind kind);
void io_file_close(struct io_file *f);
enum rc io_file_size(struct io_file *f, uint64_t *bytes);
enum rc io_file_truncate(struct io_file *f, uint64_t bytes);
// Reads up to n bytes at offset; *got < n only at end of file. May touch the disk: index lookups and [boot].
enum rc io_file_read_now(struct io_file *f, void *p, size_t n, uint64_t offset, size_t *got);
// The same out of the page cache only: RC_AGAIN, nothing read, when any part would have to come from the disk.
enum rc io_file_read_cached(struct io_file *f, void *p, size_t n, uint64_t offset, size_t *got);
// Whether the first and last page of the range are in the page cache, so that a sendfile of it is not expected to
// block. Asks the kernel with one-byte reads; under 1 us.
bool io_file_cached(struct io_file *f, uint64_t offset, uint64_t bytes);
// Writes everything or fails: after an error the file beyond offset is undefined (the caller cuts it).
enum rc io_file_write_now(struct io_file *f, const void *p, size_t n, uint64_t offset);
enum rc io_file_sync_now(struct io_file *f); // [boot]
// Exclusive advisory lock for the life of the descriptor. RC_LOCKED when another process holds it.
enum rc io_file_lock(struct io_file *f);

enum rc io_rename(struct io *io, const char *from, const char *to);
enum rc io_make_dir(struct io *io, const char *path);     // RC_EXISTS when it is there
enum rc io_remove_now(struct io *io, const char *path);   // [boot] a file or an empty folder
enum rc io_sync_dir_now(struct io *io, const char *path); // [boot] makes names in it durable
bool io_exists(struct io *io, const char *path);
// A symbolic link at path that leads to target. RC_EXISTS when something is there. The command line's alone.
enum rc io_symlink(struct io *io, const char *target, const char *path);
// Where the running program's file lies, in out of n bytes. The command line's alone.
enum rc io_program_path(struct io *io, char *out, size_t n);

// Calls visit(context, name, is_dir) for every entry but "." and "..", in byte order of the names. [boot]
enum rc io_list_dir(struct io *io, const char *path, void (*visit)(void *context, const char *name, bool is_dir),
                    void *context);

struct io_space {
    uint64_t total_bytes, available_bytes;
};
enum rc io_space(struct io *io, const char *path, struct io_space *out);

// Identity of this boot of the machine: the page cache of a killed process survives while it stays the same. Text with
// a terminating zero; empty when it cannot be known.
enum { IO_BOOT_ID_BYTES = 64 };
void io_boot_id(struct io *io, char out[IO_BOOT_ID_BYTES]);

// Writes vecs at offset. RC_OK: done inline, op unused. RC_AGAIN: in flight, op->done() will tell; vecs and what they
// point to must stay until then (a write of more than 2 MiB, or a slow file system). Anything else: failed, the file
// beyond offset is undefined. Short writes are carried on inside; an error after some bytes is an error. io/ starts
// write-back and preallocates by itself (IO_FILE_LOG).
enum rc io_file_write(struct io_op *op, struct io_file *f, const struct iovec *vecs, unsigned vec_count,
                      uint64_t offset);
// Completions; always asynchronous. The file must stay open until done() runs.
void io_file_read(struct io_op *op, struct io_file *f, void *p, size_t n, uint64_t offset);
// Brings a range into the page cache; done() when its last byte is there.
void io_file_prefetch(struct io_op *op, struct io_file *f, uint64_t offset, uint64_t bytes);
// Data and what is needed to read it; of a folder, the names in it. Serves only writes that completed before this call.
void io_file_sync(struct io_op *op, struct io_file *f);
// Every dirty file of the file system that f lies on.
void io_file_sync_all(struct io_op *op, struct io_file *f);
// The path is copied. A file or an empty folder. RC_NOT_FOUND is reported, not swallowed.
void io_remove(struct io_op *op, struct io *io, const char *path);

// ------------------------------------------------------------------------------------------------ sockets

struct io_addr {
    uint8_t ip[16]; // IPv4 as ::ffff:a.b.c.d
    uint16_t port;
};

// "1.2.3.4:9092", "[::1]:9092" or a host name: the first IPv4 address found, else the first. [boot] for names.
// RC_INVALID, RC_UNREACHABLE. A name may take as long as the resolver's time-outs, tens of seconds: for starts and tools.
enum rc io_resolve(struct io *io, const char *host, uint16_t port, struct io_addr *out);
// The same without waiting: a name is looked up by a thread of its own. RC_AGAIN: ask again, soon; *out is what was known of
// it before, or any address and port 0. An answer counts for ten seconds, a failure for one. RC_NOMEM.
enum rc io_resolve_soon(struct io *io, const char *host, uint16_t port, struct io_addr *out);
// Host and port as text ("127.0.0.1:9092", "[::1]:9092").
void io_addr_format(const struct io_addr *a, char out[IO_ADDR_TEXT_MAX]);
// Is it an address of this machine / a loopback address / the unspecified one?
bool io_addr_is_local(struct io *io, const struct io_addr *a);
bool io_addr_is_loopback(const struct io_addr *a);
bool io_addr_is_any(const struct io_addr *a);

enum io_events { IO_READABLE = 1, IO_WRITABLE = 2, IO_HANGUP = 4 };

struct io_sock;
// Readiness is reported on change, not as a level: after IO_READABLE read until RC_AGAIN or come back by yourself.
// IO_HANGUP: the peer is gone for both directions or the connect failed; told once. Only events that are wanted are
// reported, IO_HANGUP always.
typedef void (*io_ready_fn)(struct io_sock *s, unsigned events);

struct io_sock {
    struct io *io; // NULL when closed
    int fd;
    uint32_t slot;   // private: place in the engine's table
    unsigned wanted; // private
    io_ready_fn ready;
    void *private_data;
};

struct io_listener;
// A new connection: call io_sock_adopt() or io_sock_refuse() on it before returning.
typedef void (*io_accept_fn)(struct io_listener *l, int fd, const struct io_addr *peer);

struct io_listener {
    struct io *io;
    int fd;
    uint32_t slot; // private
    bool paused;
    bool shared; // private: several shards accept from this socket
    io_accept_fn accept;
    struct io_addr addr; // the bound address; the port is real even when 0 was asked for
    void *private_data;
};

// Binds and listens, and tries for 0.3 s where the address is in use [boot]. RC_ADDRESS_IN_USE, RC_PERMISSION,
// RC_INVALID (address not of this machine).
enum rc io_listen(struct io *io, struct io_listener *l, const struct io_addr *addr, io_accept_fn accept);
// A second shard accepts from the same listening socket. `first` belongs to another io of this process and is only
// read; it is closed after l.
enum rc io_listen_shared(struct io *io, struct io_listener *l, const struct io_listener *first, io_accept_fn accept);
// How many connections the kernel holds that were not accepted yet, at most net.core.somaxconn, for all who share the
// socket. Until then it is 4096.
void io_listener_backlog(struct io_listener *l, uint32_t count);
// Stop and go on accepting.
void io_listener_pause(struct io_listener *l);
void io_listener_resume(struct io_listener *l);
void io_listener_close(struct io_listener *l);

// Takes an accepted connection: non-blocking, TCP_NODELAY, keepalive. No event is wanted yet.
// RC_NOMEM: the connection has been closed.
enum rc io_sock_adopt(struct io *io, struct io_sock *s, int fd, io_ready_fn ready);
void io_sock_refuse(struct io *io, int fd);
// Starts a connection; IO_WRITABLE (once wanted) says it stands, IO_HANGUP that it failed (io_sock_error() says why).
enum rc io_sock_connect(struct io *io, struct io_sock *s, const struct io_addr *addr, io_ready_fn ready);
enum rc io_sock_error(struct io_sock *s);
// Which events to report from now on: a set of IO_READABLE and IO_WRITABLE. A wanted event that holds already is
// reported at the next io_poll().
void io_sock_want(struct io_sock *s, unsigned events);
// Closes at once; no callback runs for s any more and its memory is free to use.
void io_sock_close(struct io_sock *s);
// Lets go of a connection without closing it: the descriptor goes to io_sock_adopt() or io_sock_refuse() of this io in
// the same call chain. Negative: no descriptor is left, and the connection has been closed.
int io_sock_release(struct io_sock *s);
// SHUT_WR: the peer reads end of file after what was sent.
void io_sock_shutdown(struct io_sock *s);
// Send and receive buffer sizes; 0 leaves the system's.
void io_sock_buffers(struct io_sock *s, uint32_t send_bytes, uint32_t receive_bytes);

// None of these waits. RC_AGAIN: nothing moved, wait for the event. RC_EOF: the peer will send no more. RC_RESET.
// A short count from recv or send says that no more can be moved now: the event will come, no second call is needed.
// After a short io_sock_send_file() call it again or want IO_WRITABLE anew: the file may have ended.
enum rc io_sock_recv(struct io_sock *s, void *p, size_t n, size_t *got);
enum rc io_sock_send(struct io_sock *s, const struct iovec *vecs, unsigned vec_count, size_t *sent);
// While it is on only full packets leave: the head of an answer, its file ranges and what stands between them go
// together, and whoever receives them wakes once. Off in the same turn: what is left goes then.
void io_sock_cork(struct io_sock *s, bool on);
// Sends file bytes without copying them through the process. RC_EOF: the file ended before offset + n.
enum rc io_sock_send_file(struct io_sock *s, struct io_file *f, uint64_t offset, size_t n, size_t *sent);

// ------------------------------------------------------------------------------------------------ buffers

// I/O memory: page-backed size classes up to 1 MiB are cached by the io, and larger buffers up to 32 MiB in all. Free
// memory is poisoned in sanitizer builds; VERIFY builds abort when a buffer with an operation in flight is released. NULL
// when memory is short. Contents are undefined.
uint8_t *io_buffer_acquire(struct io *io, size_t bytes);
void io_buffer_release(struct io *io, uint8_t *p, size_t bytes); // bytes as acquired; NULL is nothing
// Gives cached memory that has been free for 10 s back to the system; called on turns that run anyway.
void io_buffers_trim(struct io *io);

// ------------------------------------------------------------------------------------------------ figures

struct io_counters {
    uint64_t polls, waits;    // io_poll() calls, and those that slept
    uint64_t accepts_refused; // closed at once because no descriptor was left
    uint64_t recv_bytes, send_bytes, send_file_bytes;
    uint64_t read_bytes[IO_FILE_KINDS], write_bytes[IO_FILE_KINDS];   // by any path, the ring included
    uint64_t writes, writes_deferred, write_backs, syncs, prefetches; // write_backs: started by io itself
    uint64_t buffer_bytes;                                            // acquired now
    uint64_t buffer_cached_bytes;
};

const struct io_counters *io_counters(const struct io *io);

// ------------------------------------------------------------------------------------------------ process

// Raises the open-file limit to the hard limit and makes room for as many (for at most 65,536) while that is quick;
// returns the limit in force. [boot], before there are threads.
uint64_t io_files_limit(struct io *io);
// CPUs this process may run on, at least 1, and memory of the machine or its control group.
unsigned io_cpu_count(struct io *io);
uint64_t io_memory_bytes(struct io *io);
// Whether a control group limits the CPU time of this process: then nobody may spin.
bool io_cpu_has_quota(struct io *io);
// Asks for short turns of this thread on a processor that others want too, and for being let on sooner in return, as suits
// one that mostly waits; threads it starts later are the same. From Linux 6.12 on (EEVDF); without effect before.
void io_thread_short_slices(void);
// Calls stop(context, signal number) from io_poll() on SIGTERM and SIGINT instead of dying. One io a process, before
// any other thread is started.
enum rc io_on_signal(struct io *io, void (*stop)(void *context, int signal_number), void *context);
// Goes on in a new process too: *pid is its number for the one that called, which lives on, and 0 in the new one, whose
// output is appended to a file. Before there is a thread or an io. On an error there may be a new process all the same
// (*pid 0): it ends. The command line's alone, as are the next two.
enum rc io_daemon(const char *output, int64_t *pid);
int64_t io_process_id(void);
// SIGTERM to a process whose program was called by a name that begins so. RC_NOT_FOUND: there is none by that number.
enum rc io_process_end(int64_t pid, const char *name);
// Tells a supervisor ("READY=1", "STOPPING=1") through NOTIFY_SOCKET when it is set.
void io_notify(struct io *io, const char *state);
// Runs fn(argument) on a new thread, pinned to the cpu-th CPU of the allowed set (modulo its size) unless negative.
// Boot only.
struct io_thread {
    unsigned long handle;
};
enum rc io_thread_start(struct io_thread *t, void (*fn)(void *argument), void *argument, int cpu);
void io_thread_join(struct io_thread *t);

// ------------------------------------------------------------------------------------------------ standard input

// For the command line only. True when standard input can be read or is at its end; waits for that at most timeout_ms
// (0: only asks, negative: for ever).
bool io_stdin_wait(struct io *io, int timeout_ms);
// What is there, at least one byte; waits for that. RC_EOF, RC_IO.
enum rc io_stdin_read(struct io *io, void *p, size_t n, size_t *got);
