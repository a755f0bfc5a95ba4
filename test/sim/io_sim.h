// SPDX-License-Identifier: Apache-2.0
//
// The simulated io's own structures, shared by its files: io_sim.c (life, loop, clock), io_sim_files.c, io_sim_socks.c.
#pragma once

#include "sim.h"

enum sim_op_kind { SIM_OP_WRITE = 1, SIM_OP_READ, SIM_OP_PREFETCH, SIM_OP_SYNC, SIM_OP_SYNC_ALL, SIM_OP_REMOVE };
enum sim_op_state { SIM_OP_FREE, SIM_OP_FLYING, SIM_OP_FINISHED };

// What the simulator keeps for an operation in flight; the product's io_op points here and back.
struct sim_flight {
    struct sim_event event;
    struct list_node link; // io->flights
    struct io *io;
    struct io_op *op;
    struct sim_inode *inode;
    enum io_file_kind kind;
    struct sim_sync sync;
    char *path;
    uint32_t sync_errors; // of the node when a sync began: one that failed meanwhile took pages of this one too
    bool fails;
};

// Descriptors are the process's: a shard may read through one that another opened.
struct sim_file_slot {
    struct sim_inode *inode; // NULL: free
    struct io *io;           // that opened it
    uint32_t next_free;
    unsigned flags;
    uint32_t file_errors_seen; // likewise of its file
    uint32_t errors_seen; // failed syncs of the file system this descriptor has been told of
    bool has_lock, is_checkpoint;
};

struct sim_end;

struct sim_sock_slot {
    struct sim_end *end; // NULL: free
    uint32_t next_free;
};

struct io {
    struct sim *sim;
    struct sim_node *node;
    uint32_t index;
    sim_attention_fn attention;
    void *context;
    uint64_t cpu_ns; // how far this CPU has run since sim->now_ns stood at base_ns
    uint64_t base_ns;
    uint64_t now_ns; // of the machine, as read at the last poll
    bool woken;
    struct list finished; // io_op.link: callbacks due at the next poll
    struct list flights;
    uint32_t file_count;
    struct sim_sock_slot *socks;
    uint32_t sock_cap, sock_free, sock_count;
    uint64_t closed_last; // serial of a connection
    struct list ready; // sim_end.ready_link
    struct list listeners;
    struct io_counters counters;
};

// The CPU works for ns.
static inline void sim_io_spend(struct io *io, uint64_t ns)
{
    io->cpu_ns += ns;
}

// World time at which this io's CPU stands.
static inline uint64_t sim_io_here_ns(const struct io *io)
{
    uint64_t ahead = io->base_ns + io->cpu_ns;
    return ahead > io->sim->now_ns ? ahead : io->sim->now_ns;
}

// Counts a call that touches the disk and ends the process here when its death was planned for this one.
void sim_io_touch_disk(struct io *io);
void sim_io_attention(struct io *io);

// io_sim_files.c
// Operations in flight are done; their callbacks are due.
void sim_files_land(struct io *io);
// The process is gone: its operations end in part, every handle is given back.
void sim_files_end(struct io *io);
// What the mutations still hold back is lost.
void sim_late_end(struct sim_node *n, enum sim_death how);
// io_sim_socks.c
unsigned sim_socks_poll(struct io *io);
bool sim_socks_have_work(const struct io *io);
void sim_socks_end(struct io *io, bool silent);
