// SPDX-License-Identifier: Apache-2.0
//
// The topic of the group coordinators, __consumer_offsets: made by the first who asks for a coordinator, with the
// offsets.topic.* settings, on as many nodes as offsets.topic.replication.factor asks for and there are.
#pragma once

#include "broker/broker.h"
#include "wire/messages.h"

struct offsets_topic_waiter;
typedef void (*offsets_topic_fn)(struct offsets_topic_waiter *w);

struct offsets_topic_waiter {
    struct list_node link;
    offsets_topic_fn done;
};

void offsets_topic_init(struct offsets_topic *t, struct engine_shard *es);
void offsets_topic_deinit(struct offsets_topic *t); // nobody waits
// w->done() runs when the topic is there or could not be made now; never from inside. False: it cannot be made yet (nodes
// of the cluster are still missing, for at most 3 s), or memory is short; nothing waits.
bool offsets_topic_want(struct offsets_topic *t, struct offsets_topic_waiter *w);
// The metadata changed, on shard 0: raises its replication factor where the cluster has grown.
void offsets_topic_image(struct offsets_topic *t);
void offsets_topic_grow_end(struct offsets_topic *t); // at stop
// What it is made of; names and values in the arena. RC_NOMEM.
enum rc offsets_topic_spec(const struct engine_shard *es, struct arena *a, struct create_topics_request_topic *out);
