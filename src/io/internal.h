// SPDX-License-Identifier: Apache-2.0
//
// What the files of io/ share: the struct behind `struct io`, the table of watched descriptors, and the few calls in
// which the engines differ. Everything the engines do alike (inline calls, dispatch, policies) is written once above
// this line of calls.
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/assert.h"
#include "io/io.h"

// ------------------------------------------------------------------------------------------------ watched descriptors

enum io_slot_kind { IO_SLOT_FREE, IO_SLOT_SOCK, IO_SLOT_LISTENER, IO_SLOT_SIGNAL };
enum io_slot_flags { IO_SLOT_QUEUED = 1, IO_SLOT_PEER_SHUT = 2, IO_SLOT_HANGUP_TOLD = 4 };

#define IO_SLOT_NONE UINT32_MAX

// One watched descriptor. Its (index, generation) travels through the kernel instead of a pointer, so that the memory
// of a socket is free the moment io_sock_close() returns and late events find nobody.
struct io_slot {
    void *owner; // struct io_sock or struct io_listener, by kind
    int fd;
    uint32_t generation;
    uint32_t next, prev; // queue of slots with something to report, or the list of free ones
    int error;           // errno of a failed connect
    uint8_t kind;
    uint8_t ready; // enum io_events that hold as far as is known
    uint8_t flags;
};

_Static_assert(sizeof(struct io_slot) <= 32, "what an idle connection costs here, beside its owner's io_sock");

static inline uint64_t io_slot_token(uint32_t index, uint32_t generation)
{
    return (uint64_t)index << 32 | generation;
}

// ------------------------------------------------------------------------------------------------ operations

enum io_op_kind {
    IO_OP_READ = 1,
    IO_OP_WRITE,
    IO_OP_PREFETCH,
    IO_OP_SYNC,
    IO_OP_SYNC_ALL,
    IO_OP_REMOVE,
    IO_OP_WRITE_BACK, // io's own
};

enum io_op_state { IO_OP_IDLE, IO_OP_IN_FLIGHT, IO_OP_DONE };

// ------------------------------------------------------------------------------------------------ engines

// Calls in which io_uring and epoll differ. None runs a callback: they collect, io_poll() dispatches.
struct io_engine_calls {
    const char *name;
    // 0 or the errno that stops this engine here.
    int (*create)(struct io *io, const struct io_config *config);
    void (*destroy)(struct io *io);
    // Hands what is queued to the kernel, waits as io_poll() says, feeds io_slot_event() and io_op_complete().
    void (*wait)(struct io *io, int64_t timeout_ns);
    void (*wake)(struct io *io); // any thread
    // Watches the slot's descriptor for reading, writing and hang-up, edge by edge, until unwatch, which comes before
    // close(). Returns 0 or an errno.
    int (*watch)(struct io *io, uint32_t slot);
    void (*unwatch)(struct io *io, uint32_t slot);
    void (*submit)(struct io *io, struct io_op *op);
};

extern const struct io_engine_calls io_uring_calls, io_epoll_calls;

// Why io_uring cannot be had, in words.
const char *io_uring_refusal(int error);

// ------------------------------------------------------------------------------------------------ helper threads

enum { IO_HELPERS_MAX = 4 };

// A thread that takes no signal, with a small stack. joinable NULL: nobody waits for its end. False: there is none to have.
bool io_worker_start(pthread_t *joinable, void *(*body)(void *), void *argument);

// Threads for calls that have no other asynchronous form. They touch the operation they were given and nothing else.
struct io_helpers {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct io_op *queue_first, **queue_last; // under lock
    struct io_op *done;                      // under lock
    unsigned queued, idle;                   // under lock
    unsigned count;                          // owner's thread only
    bool stop;
    atomic_bool any_done;
    pthread_t threads[IO_HELPERS_MAX];
};

void io_helpers_init(struct io *io);
void io_helpers_deinit(struct io *io); // nothing may be in flight
void io_helpers_submit(struct io *io, struct io_op *op);
// Completes what helpers have finished.
void io_helpers_collect(struct io *io);
// Does the operation here and now, setting op->rc and op->moved.
void io_op_run(struct io_op *op);
// What a write does next: vectors, as they are or a part of one in *part, that make up to half a MiB of what is left.
// Copying into the page cache stops for nothing where the kernel is built without preemption (most servers'), so a
// thread that wants the same core waits for all of one call: 5 ms for 16 MiB.
const struct iovec *io_write_piece(const struct io_op *op, struct iovec *part, unsigned *count);

// ------------------------------------------------------------------------------------------------ write policy

enum { IO_DEVICES_MAX = 16, IO_WRITE_BACK_OPS = 8 };

// One mounted file system that is written to.
struct io_device {
    dev_t id;
    bool deferred;         // writes go through the engine
    uint64_t slow_ns;      // when an inline write was last slow; 0: never
    unsigned quick_writes; // deferred writes in a row that were quick
    uint64_t deferred_since_ns;
};

// ------------------------------------------------------------------------------------------------ buffers

enum { IO_BUFFER_CLASSES = 13, IO_LARGE_KEPT = 4 };

struct io_buffer_free {
    uint8_t *p;
    uint64_t freed_ns;
};

// Free buffers of one size: a stack, so sorted by the time of their release, the oldest at the bottom. The lowest
// `cold` of them hold no memory, only addresses.
struct io_buffer_class {
    size_t bytes;
    struct io_buffer_free *free;
    size_t free_count, cold_count;
    size_t total; // buffers that exist; the stack has room for all
};

struct io_buffer_region {
    struct io_buffer_region *next;
    size_t bytes;
    uint8_t *p;
};

// ------------------------------------------------------------------------------------------------ the io

struct io {
    const struct io_engine_calls *calls;
    void *engine;
    struct trace_sink *trace;
    uint64_t now_ns;
    bool polling;
    bool polled;     // VERIFY builds:
    pthread_t owner; // by this thread
    atomic_uint wake_pending;

    struct io_slot *slots;
    uint32_t slot_cap, slot_free; // slot_free: head of the free list
    uint32_t queue_first, queue_last, queue_count;

    struct list in_flight; // every operation between start and io_op_complete()
    struct list done;      // complete, done() not yet run
    struct io_helpers helpers;
    struct io_device devices[IO_DEVICES_MAX];
    unsigned device_count;
    struct io_op write_back[IO_WRITE_BACK_OPS];

    struct io_buffer_class buffers[IO_BUFFER_CLASSES];
    struct io_buffer_region *buffer_regions;
    struct io_buffer_large {
        uint8_t *p;
        size_t bytes;
        uint64_t freed_ns;
    } large[IO_LARGE_KEPT]; // mappings above the classes that were released and are still warm, oldest first
    unsigned large_count;
    size_t large_bytes; // of all that are kept

    int spare_fd; // given up to accept and refuse a connection when no descriptor is left
    struct trace_limit refuse_limit;
    void (*stop)(void *context, int signal_number);
    void *stop_context;
    uint32_t stop_slot;

    struct list names; // struct io_name, of names.c, the one asked for last in front
    uint32_t name_count;

    struct io_counters counters;
};

// ------------------------------------------------------------------------------------------------ addresses

// RC_OK: an address. RC_NOT_FOUND: a name, copied without brackets. RC_INVALID.
enum rc io_addr_parse(const char *host, uint16_t port, struct io_addr *out, char name[IO_HOST_BYTES_MAX]);
// What a name stands for, the port untold. Waits for the resolver; any thread.
enum rc io_addr_lookup(const char *name, struct io_addr *out);
// Forgets the names. A lookup under way ends by itself and touches nothing of io.
void io_names_deinit(struct io *io);

enum rc io_rc_of_errno(int error);
uint64_t io_clock_now(void);

// A slot watching fd, or RC_NOMEM. The engine does not know it yet.
enum rc io_slot_open(struct io *io, enum io_slot_kind kind, int fd, void *owner, uint32_t *out);
// Stops watching; the descriptor stays open. Late events of it are dropped.
void io_slot_close(struct io *io, uint32_t index);
// Puts the slot into the queue of those that io_poll() calls.
void io_slot_queue(struct io *io, uint32_t index);
// From the engine: poll events (EPOLLIN, ...) of a slot, if it still is that slot.
void io_slot_event(struct io *io, uint64_t token, uint32_t poll_events);

// Marks op as started. The kind-specific fields are set by the caller.
void io_op_start(struct io *io, struct io_op *op, enum io_op_kind kind);
// From the engine: op is over. done() runs in this io_poll().
void io_op_complete(struct io_op *op, enum rc rc);

socklen_t io_addr_to_sockaddr(const struct io_addr *a, struct sockaddr_storage *out);
void io_addr_from_sockaddr(struct io_addr *a, const struct sockaddr_storage *in);

void io_sock_dispatch(struct io *io, uint32_t slot);
void io_listener_dispatch(struct io *io, uint32_t slot);
void io_signal_dispatch(struct io *io, uint32_t slot);

enum rc io_buffers_init(struct io *io);
void io_buffers_deinit(struct io *io);

// Where the kernel shows control groups.
struct io_group_places {
    const char *self, *v2, *v1_cpu, *v1_memory;
};
extern const struct io_group_places io_group_places;
// CPU quota in thousandths of a CPU, memory limit; UINT64_MAX without one.
uint64_t io_group_cpu_milli(const struct io_group_places *at);
uint64_t io_group_memory_bytes(const struct io_group_places *at);

uint32_t io_device_of(struct io *io, int fd);
// An inline write of `bytes` has taken ns, and the thread is known to have slept in it (waited): the write policy takes
// note.
void io_write_took(struct io *io, uint32_t device, uint64_t now_ns, uint64_t ns, size_t bytes, bool waited);
// Whether the writer is to find out if a write sleeps: one was slow a short while ago.
bool io_write_watched(const struct io *io, uint32_t device, uint64_t now_ns);
// An engine's write has finished: the write policy takes note.
void io_write_observe(struct io_op *op);
void io_write_back_done(struct io_op *op, enum rc rc, size_t bytes);
