// SPDX-License-Identifier: Apache-2.0
//
// The clients of the cluster scenario: one process on a machine of its own, with actors in it. An actor is a kind of
// client (producers, readers, an administrator, members of groups): it keeps what it was told in the world's accounts and
// fails the run when an answer cannot be.
#pragma once

#include "client_answer.h"
#include "cluster_world.h"

enum { CLUSTER_ACTORS_MAX = 16 };

struct cluster_clients;

struct cluster_actor {
    const char *name;
    // Allocates its state (cluster_allocate()), begins its timers and connections. What it returns comes back below.
    void *(*start)(struct cluster_clients *all);
    // Nothing of it is on its way, and while w->draining it begins nothing new. NULL: always so.
    bool (*idle)(const void *actor);
    // After everything has settled: begins to hold what it can see against its account; verified: it is through with
    // that. NULL: it has none.
    void (*verify)(void *actor);
    bool (*verified)(const void *actor);
};

extern const struct cluster_actor cluster_admin, cluster_mover, cluster_producers, cluster_readers, cluster_voters, cluster_offsets,
    cluster_groups, cluster_deleter;

struct cluster_clients {
    struct shard_group group;
    struct shard *shard;
    struct cluster_world *w;
    void *actors[CLUSTER_ACTORS_MAX];
};

struct cluster_links { // one client's connections to every node
    struct client_connection to[CLUSTER_NODES_MAX];
};

void cluster_links_init(struct cluster_links *l, struct cluster_clients *all, const char *name);
void cluster_wake_in(struct cluster_clients *all, struct shard_timer *t, uint64_t delay_ns, shard_timer_fn fn);
void *cluster_allocate(size_t n); // zeroed, in the clients' process
// Whom to ask: the node said to lead (index, -1: nobody is), now and then anybody.
uint32_t cluster_choose(struct cluster_world *w, int32_t leader);
// A question for an end of a partition.
enum { CLUSTER_LATEST = -1, CLUSTER_EARLIEST = -2 };
struct cluster_ends {
    struct list_offsets_request in;
    struct list_offsets_request_topic in_topic;
    struct list_offsets_request_partition in_partition;
};
void cluster_ends_fill(struct cluster_ends *e, const struct cluster_world *w, uint32_t topic, uint32_t partition,
                       int64_t which);
// Its answer. False: none that says anything of the partition.
bool cluster_ends_read(struct cluster_world *w, const struct client_request *r, struct bytes body, int16_t *error,
                       int64_t *offset);
// An earliest offset that was asked for when deletions up to `least` had been answered, by a node that leads.
void cluster_start_judge(struct cluster_world *w, const struct cluster_part *part, int64_t least, int64_t offset);
// Nobody is known to lead in a later epoch than this node (index) did.
bool cluster_leads_now(const struct cluster_part *part, uint32_t node);
