// SPDX-License-Identifier: Apache-2.0
//
// The simulated network: connections as two ends, each with the packets on their way to it, a receive buffer, and a
// window that bounds what the other end may have outstanding. Packets of one direction arrive in order, each at its own
// time. Knows machines and processes, no io: readiness is reported through net_ready().
#pragma once

#include "sim.h"

struct sim_conn;

enum sim_packet_kind { NET_SYN, NET_SYN_ACK, NET_DATA, NET_FIN, NET_RST, NET_SPACE };

struct sim_packet {
    struct list_node link; // end->incoming
    enum sim_packet_kind kind;
    uint64_t due_ns;
    size_t n;        // DATA: bytes; SPACE: bytes consumed
    uint32_t tries;  // of the sender's kernel, while the machine is silent
    uint8_t bytes[]; // DATA
};

struct sim_end {
    struct sim_conn *conn;
    struct sim_node *node;
    struct io *io; // of the process that has it open, or NULL
    struct io_sock *sock;
    int fd;
    bool open; // a process holds it
    bool gone; // its machine has forgotten it: the next packet is answered by RST
    bool connected, failed, reset, fin_in, fin_sent, blocked;
    struct io_addr addr;
    uint8_t *in; // received and not read
    size_t in_at, in_bytes, in_cap;
    size_t window, outstanding; // of what this end sends
    size_t consumed;            // read by the process and not told to the other end yet
    struct list incoming;
    struct sim_event deliver;
    uint64_t last_due_ns;
    unsigned pending;              // events to report when they are wanted
    struct list_node ready_link;   // io->ready
    struct list_node backlog_link; // listener->backlog
};

struct sim_conn {
    struct sim *sim;
    struct list_node link; // sim->conns
    uint64_t serial;
    struct sim_end ends[2]; // [0] connected, [1] accepted
};

struct sim_listen {
    struct list_node link;    // sim->listeners
    struct list_node io_link; // io->listeners
    struct io *io;
    struct sim_node *node;
    struct io_listener *listener;
    struct list backlog; // sim_end.backlog_link
};

static inline struct sim_end *net_peer(struct sim_end *e)
{
    return &e->conn->ends[e == &e->conn->ends[0]];
}

// A connection on its way from n to addr.
struct sim_conn *net_connect(struct sim_node *n, const struct io_addr *addr);
// Puts a packet on its way to e; from_ns is when it leaves. p may be NULL for kinds without bytes.
void net_put(struct sim_end *e, enum sim_packet_kind kind, const uint8_t *p, size_t n, uint64_t from_ns);
// The process closes e: FIN, or RST when it leaves bytes unread.
void net_close(struct sim_end *e, uint64_t here_ns);
// The machine of e lost power.
void net_vanish(struct sim_end *e);
// What became of what was sent on the connection of this serial, which its connecting end has closed.
enum net_fate {
    NET_COMING, // some of it is on its way
    NET_THERE,  // all of it has arrived, and a process may read it
    NET_OVER,   // nobody has it open any more
};
enum net_fate net_fate_of(const struct sim *sim, uint64_t serial);
// The serial of the connection that this io closed last.
uint64_t sim_io_closed_last(const struct io *io);
// Frees the connection when nobody holds or can reach it any more.
void net_settle(struct sim_conn *c);
// Events of e happened; in io_sim_socks.c.
void net_ready(struct sim_end *e, unsigned events);
void net_backlog_put(struct sim_listen *l, struct sim_end *e);
