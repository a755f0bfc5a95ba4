// SPDX-License-Identifier: Apache-2.0
//
// Topics and partitions as they come and go on a shard: what partition.c, partition_follow.c and topics.c share.
#pragma once

#include "engine/partition.h"

// Counted by topics and partitions of one shard.
struct engine_settings *engine_settings_ref(struct engine_settings *s);
void engine_settings_unref(struct engine_settings *s);

// A topic that this shard has partitions of; NULL: it has none.
struct engine_topic *engine_topic_find(struct engine_shard *es, struct uuid id);
// Made from the image's. NULL: memory. It goes with its last partition, or by engine_topic_drop_if_empty().
struct engine_topic *engine_topic_create(struct engine_shard *es, const struct image_topic *t);
// Its settings, and with them its partitions', in line with the image. RC_NOMEM: they stay as they were.
enum rc engine_topic_configure(struct engine_shard *es, struct engine_topic *topic, const struct image *image,
                               const struct image_topic *t);
void engine_topic_drop_if_empty(struct engine_shard *es, struct engine_topic *t);

// A partition in its folder, or blocked until that is free. returns: this node may have held it before. NULL: memory.
struct partition *partition_create(struct engine_shard *es, struct engine_topic *t, struct topic_partition id,
                                   bool returns);
// The topic is gone, or this node is no replica of it any more: nobody finds the partition here; its folder is renamed by
// a paced job, which frees p. Who waits is answered with rc.
void partition_doom(struct partition *p, enum rc rc);
// It is neither opened bit by bit nor tried again any more (partition_open.c).
void partition_opening_leave(struct partition *p);
