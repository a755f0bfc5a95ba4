// SPDX-License-Identifier: Apache-2.0
//
// A partition that comes back to a node: replicas move away and return under the same topic id, and what the checkpoint
// still knows of the earlier life must not be taken for the new one's. A recovery point of then would say that a log which
// has just begun is durable up to there.
#include "engine/partition.h"

#include <stdio.h>
#include <stdlib.h>

struct partition_past {
    struct log_dir_op op;
    struct partition *p; // NULL: gone
    struct log_dir *dir;
    void (*then)(struct partition *p);
};

static void past_over(struct log_dir_op *op, enum rc rc)
{
    struct partition_past *past = container_of(op, struct partition_past, op);
    struct partition *p = past->p;
    (void)rc; // the folder is offline: then() finds out
    if (p) {
        p->past = NULL;
        p->past_over = past->dir;
        past->then(p);
    }
    free(past);
}

bool partition_past_ends(struct partition *p, struct log_dir *dir, void (*then)(struct partition *p))
{
    if (p->past)
        return true;
    if (p->past_over == dir || log_dir_is_offline(dir))
        return false;
    struct partition_past *past = calloc(1, sizeof(*past));
    if (!past)
        return false; // what the checkpoint says stands: only a power cut in the next moments would find it there
    *past = (struct partition_past){.p = p, .dir = dir, .then = then};
    past->op = (struct log_dir_op){.request = LOG_DIR_PUT_SYNC,
                                   .record = {.type = CHECKPOINT_REMOVED, .id = p->id},
                                   .done = past_over};
    p->past = past;
    p->state = PARTITION_BLOCKED;
    log_dir_submit(dir, &past->op); // it may be over at once
    return true;
}

void partition_past_forget(struct partition *p)
{
    if (p->past)
        p->past->p = NULL;
    p->past = NULL;
}

// Whoever stands in the ISR or the ELR has promised to hold what it had: there a missing folder is damage.
bool partition_past_is_over(const struct partition *p, const struct log_dir *dir)
{
    struct engine_shard *es = p->es;
    const struct image_topic *t = image_topic_by_id(engine_image(es), p->id.topic_id);
    const struct image_partition *ip = t ? image_partition(t, p->id.partition) : NULL;
    int32_t self = es->engine->config.node_id;
    if (!dir || es->booted || !ip || image_in_isr(ip, self) || !log_dir_find(dir, p->id))
        return false;
    for (uint32_t i = 0; i < ip->elr_count; i++)
        if (image_elr(ip)[i] == self)
            return false;
    char path[IO_PATH_BYTES_MAX + TOPIC_NAME_BYTES_MAX + 16];
    snprintf(path, sizeof(path), "%s/%s-%d", dir->path, p->topic->name, p->id.partition);
    return !io_exists(es->shard->io, path);
}

// The folders were judged by an image in which this node was a replica, and the next one, with which this shard began, knew
// it as none: nobody has attached the log, and nobody renames it.
bool partition_past_is_aside(const struct partition *p, struct log_dir *dir)
{
    char name[TOPIC_NAME_BYTES_MAX + 16];
    struct uuid id;
    snprintf(name, sizeof(name), "%s-%d", p->topic->name, p->id.partition);
    return log_dir_folder_topic_id(dir, name, &id) == RC_OK && uuid_eq(id, p->id.topic_id) &&
           log_dir_set_stray(dir, name) == RC_OK;
}
