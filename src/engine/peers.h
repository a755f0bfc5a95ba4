// SPDX-License-Identifier: Apache-2.0
//
// The other nodes of the cluster, as one node reaches them: a peer port, one connection to each in each direction, and
// what each said of itself when they met. Messages to a node leave on the connection made here; its answers to them
// come back there, its own messages on the connection it made. Decides nothing: who is let in and what messages mean is
// the owner's (quorum_*.c). On one shard.
//
// Addresses are not identity: of a node there may be several, by who named them, and the one that answers as that node
// is the right one. A dead attempt goes on to the next. Members of a cluster introduce each other: who has met one of
// them is met by all.
//
//     DOWN --dial--> CONNECTING --stands--> GREETING --their Hello--> UP
//      ^                 |                      |                      |
//      +----- backoff ---+----------------------+----- broken ---------+
#pragma once

#include "engine/peer_link.h"
#include "model/ids.h"

enum {
    PEERS_MAX = 128,
    PEERS_LINKS_MAX = 2 * PEERS_MAX, // accepted ones
    PEER_CLUSTER_BYTES = 64,
    PEER_REASON_BYTES = 256,
};

// One of --peers.
struct peer_address {
    int32_t node;
    char host[IO_HOST_BYTES_MAX];
    struct io_addr addr;
};

// Who says where a node is. Of each the newest is kept.
enum peer_source { PEER_CONFIGURED, PEER_TOLD, PEER_REGISTERED, PEER_SOURCES };
_Static_assert(PEER_SOURCES <= 8, "struct peer has a bit for each");

enum peer_standing { PEER_EMPTY, PEER_PREPARED, PEER_FORMED };
enum peer_purpose { PEER_TALKS, PEER_FETCHES };

// What a node says of itself when a connection begins.
struct peer_hello {
    char cluster_id[PEER_CLUSTER_BYTES]; // empty: none yet
    int32_t node;
    struct uuid directory, incarnation;
    int64_t broker_epoch; // -1: not registered
    enum peer_standing standing;
    enum peer_purpose purpose; // of this connection
    int32_t peers[PEERS_MAX]; // ids of its --peers, rising
    uint32_t peer_count;
    struct io_addr listens; // for nodes; no address: at the one it connects from. Port 0: not said
    int64_t wall_ms;
};

enum peer_state { PEER_DOWN, PEER_CONNECTING, PEER_GREETING, PEER_UP };

struct peers;

// Another node.
struct peer {
    int32_t node;
    bool in_use;
    uint8_t sources;                    // of known[], a bit each
    enum peer_source source;            // of addr
    struct io_addr known[PEER_SOURCES];
    struct io_addr addr;                // tried now, or connected to
    int64_t registered_epoch;           // of the registration that known[PEER_REGISTERED] is of
    struct uuid warned;                 // the incarnation whose differences were told
    enum peer_state state;
    struct peer_hello hello; // of the connection that is UP, or of the last one that was (node NODE_ID_NONE: never)
    char refusal[PEER_REASON_BYTES]; // why it or we would not talk, empty when we do
    // private
    struct peers *owner;
    struct peer_link link;
    struct shard_timer timer;
    uint32_t tries;        // since it was UP
    uint64_t heard_ns; // anything on the connection made here
    uint64_t echo_ns;  // when an echo was asked for that has not come, 0: none
    uint64_t echoes_asked, echoes_settled; // of all its connections; settled: it came, or the connection is gone
    uint64_t echo_turn; // the shard's turn in which the last one left
    bool was_up;           // broke since it was last UP
    struct io_addr up_addr; // where it was UP last: only there a refusal says that it is dead
    bool dead;             // proved so, and not met since
    uint32_t said;         // of peers.news, when our Hello left
};

// One accepted connection.
struct peer_inlet {
    struct list_node link_in;
    struct peers *owner;
    struct peer_link link;
    struct io_addr from;
    uint64_t serial;
    bool greeted;
    struct peer_hello hello;
    int64_t registered_epoch; // of its incarnation, once the owner saw it registered; else -1
    struct shard_timer timer;
    struct shard_task bury;
};

// Where a message came from and where its answer goes; may be kept, for the connection may be gone when it is used.
struct peer_route {
    int32_t node;
    uint64_t serial; // of the inlet; 0: the connection made here
};

struct peers_hooks {
    // What this node says of itself now.
    void (*hello)(void *context, struct peer_hello *out);
    // Whether to talk with that node: RC_OK, or the reason, which is sent and logged.
    enum rc (*judge)(void *context, const struct peer_hello *theirs, char *why, size_t why_bytes);
    // A connection to p became UP or stopped being it, or an empty node said something new.
    void (*changed)(void *context, struct peer *p);
    // p will not talk with this node; Kafka's error code says why, p->refusal in words. NULL: of no interest.
    void (*refused)(void *context, struct peer *p, int16_t code);
    // The connection to p broke, and a new one is refused or was answered by another incarnation: its process is dead.
    void (*lost)(void *context, struct peer *p);
    // A replica's connection for fetches, greeted: the descriptor goes over (io_sock_adopt() or io_sock_refuse() before
    // it returns). NULL: refused.
    void (*adopt)(void *context, const struct peer_hello *theirs, int fd, const struct io_addr *from);
    // An echo that was asked for has come. NULL: of no interest.
    void (*echoed)(void *context, struct peer *p);
    // A message: on an inlet (hello: what that side said), or an answer on the connection made here (inlet NULL).
    void (*message)(void *context, struct peer_inlet *inlet, struct peer_route from, const struct peer_frame *f);
};

struct peers_config {
    struct shard *shard;
    struct trace_sink *trace;
    int32_t node;
    struct io_addr listen;
    const struct peer_address *addresses; // of --peers, the own one included; kept by the caller
    uint32_t address_count;
    bool formed; // this node belongs to a cluster: who comes to it may be new
    const struct peers_hooks *hooks;
    void *context;
};

struct peers {
    struct peers_config config;
    struct io_listener listener;
    bool listening, started;
    struct peer table[PEERS_MAX];
    uint32_t count;
    struct list inlets, buried; // struct peer_inlet
    uint64_t serial;
    uint32_t news; // how often our Hello has changed
    struct shard_task greet; // greets again at the end of this turn
    struct trace_limit limit_refused;
};

// Opens the peer port [boot]. RC_ADDRESS_IN_USE, RC_PERMISSION, RC_INVALID, RC_NOMEM.
enum rc peers_open(struct peers *p, const struct peers_config *config);
// Begins to dial, and accepts. Hooks run from the shard's coming turns.
void peers_start(struct peers *p);
// Closes everything at once. No hook runs any more.
void peers_close(struct peers *p);

struct peer *peers_find(struct peers *p, int32_t node); // NULL: unknown
bool peers_up(struct peers *p, int32_t node);
// UP and not known to be dead: where nothing was heard for long it is asked, and given up, in a coming turn, when no word
// comes. True until then.
bool peers_answers(struct peers *p, int32_t node);
// Asks node, over the connection made here, whether it is there; one echo serves all who ask in a turn. Returns the number
// to ask peers_echo_settled() about, 0: it is not UP, or nothing can be asked.
uint64_t peers_ask_echo(struct peers *p, int32_t node);
// Whether that echo has come, or never will: hooks.echoed and hooks.changed say when to look again.
bool peers_echo_settled(struct peers *p, int32_t node, uint64_t echo);
// Another place where node may be: it is dialled there, too, and accepted from there. RC_FULL.
enum rc peers_learn(struct peers *p, int32_t node, enum peer_source source, const struct io_addr *addr);
// This node belongs to a cluster from now on. Those who have come to it are learned from what they said then.
void peers_formed(struct peers *p);
// Node is no member any more: what --peers does not say of it is forgotten.
void peers_forget(struct peers *p, int32_t node);

// To a node, over the connection made here. RC_CLOSED when it is not UP, else as peer_link_send().
enum rc peers_send(struct peers *p, int32_t node, const struct schema_message *m, int32_t correlation,
                   const void *message, enum peer_class class);
// Back to where a message came from; dropped when that connection is gone.
enum rc peers_answer(struct peers *p, struct peer_route to, const struct schema_message *m, int32_t correlation,
                     const void *message);
// Closes an inlet after telling why.
void peers_refuse(struct peers *p, struct peer_inlet *in, enum rc rc, const char *why);
// Tells every node that is UP, and who asks, of a new standing: connections begin anew with a new Hello.
void peers_greet_again(struct peers *p);

static inline struct peer_inlet *peers_inlet_first(struct peers *p)
{
    struct list_node *n = list_first(&p->inlets);
    return n ? list_entry(n, struct peer_inlet, link_in) : NULL;
}

static inline struct peer_inlet *peers_inlet_next(struct peers *p, struct peer_inlet *in)
{
    struct list_node *n = list_next(&p->inlets, &in->link_in);
    return n ? list_entry(n, struct peer_inlet, link_in) : NULL;
}

// Whom this node has met, for its Hello; and from another's: those that nobody has named here yet, and those that are not
// there where --peers places them.
enum rc peers_known_encode(const struct peers *p, struct arena *a, struct hello_request *out);
void peers_known_take(struct peers *p, const struct peer_frame *f);
// peers_hello.c: a Hello as a message and back. out borrows from a; RC_MALFORMED, RC_NOMEM.
enum rc peer_hello_encode(const struct peer_hello *h, struct arena *a, struct hello_request *out);
enum rc peer_hello_decode(const struct peer_frame *f, struct peer_hello *out);
