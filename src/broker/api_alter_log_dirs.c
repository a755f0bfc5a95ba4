// SPDX-License-Identifier: Apache-2.0
//
// AlterReplicaLogDirs (KIP-113): replicas of this node move between its log folders. Answered when the moves have begun;
// DescribeLogDirs tells how far they are.
#include "broker/api.h"
#include "broker/partition_ask.h"
#include "model/kerr.h"
#include "wire/messages.h"

struct alter_log_dirs_op {
    struct partition_ask ask;
    const struct alter_replica_log_dirs_request *in;
};

// RC_LOG_DIR_NOT_FOUND: no folder of log.dirs; RC_STORAGE_ERROR: it is offline.
static enum rc find_dir(const struct engine_config *config, struct bytes path, uint32_t *out)
{
    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    for (*out = 0; *out < config->log_dir_count; (*out)++) {
        struct bytes known = bytes_str(config->log_dirs[*out]->path);
        while (known.n > 1 && known.p[known.n - 1] == '/')
            known.n--;
        if (bytes_eq(known, path))
            return log_dir_is_offline(config->log_dirs[*out]) ? RC_STORAGE_ERROR : RC_OK;
    }
    return RC_LOG_DIR_NOT_FOUND;
}

static void alter_log_dirs_done(struct partition_ask *ask)
{
    const struct alter_replica_log_dirs_request *in = container_of(ask, struct alter_log_dirs_op, ask)->in;
    struct arena *a = &ask->rq->arena;
    struct alter_replica_log_dirs_response out;
    const struct partition_query *q = ask->queries;
    uint32_t topics = 0;
    alter_replica_log_dirs_response_init(&out);
    for (uint32_t i = 0; i < in->dirs_count; i++)
        topics += in->dirs[i].topics_count;
    out.results = arena_array(a, topics, sizeof(*out.results));
    bool whole = out.results;
    for (uint32_t i = 0; whole && i < in->dirs_count; i++) {
        for (uint32_t k = 0; whole && k < in->dirs[i].topics_count; k++) {
            const struct alter_replica_log_dirs_request_topic *t = &in->dirs[i].topics[k];
            struct alter_replica_log_dirs_response_result *r = &out.results[out.results_count++];
            alter_replica_log_dirs_response_result_init(r);
            r->topic_name = t->name;
            r->partitions = arena_array(a, t->partitions_count, sizeof(*r->partitions));
            whole = r->partitions;
            for (uint32_t n = 0; whole && n < t->partitions_count; n++, q++)
                r->partitions[r->partitions_count++] = (struct alter_replica_log_dirs_response_partition){
                    .partition_index = t->partitions[n], .error_code = kerr_of(q->rc)};
        }
    }
    if (whole)
        request_answer(ask->rq, &out);
    else
        api_fail_memory(ask->rq);
}

void api_alter_replica_log_dirs_begin(struct request *rq, const void *message)
{
    const struct alter_replica_log_dirs_request *in = message;
    const struct image *image = engine_image(rq->bs->engine);
    uint64_t count = 0, topics = 0;
    for (uint32_t i = 0; i < in->dirs_count; i++) {
        topics += in->dirs[i].topics_count;
        for (uint32_t k = 0; k < in->dirs[i].topics_count; k++)
            count += in->dirs[i].topics[k].partitions_count;
    }
    api_answer_reserve(rq, count * (sizeof(struct partition_query) + 64) + topics * 64 + 4096);
    struct alter_log_dirs_op *op = request_alloc(rq, sizeof(*op));
    enum rc rc = op && count <= UINT32_MAX
                     ? partition_ask_init(&op->ask, rq, PARTITION_MOVE, (uint32_t)count, alter_log_dirs_done)
                     : RC_NOMEM;
    if (rc == RC_OK)
        op->in = in;
    for (uint32_t i = 0; rc == RC_OK && i < in->dirs_count; i++) {
        uint32_t dir;
        const enum rc found = find_dir(&rq->bs->engine->engine->config, in->dirs[i].path, &dir);
        for (uint32_t k = 0; k < in->dirs[i].topics_count; k++) {
            const struct alter_replica_log_dirs_request_topic *t = &in->dirs[i].topics[k];
            for (uint32_t n = 0; n < t->partitions_count; n++) {
                struct partition_query *q =
                    partition_ask_add(&op->ask, image, t->name, t->partitions[n], LEADER_EPOCH_NONE);
                if (q->rc != RC_OK) // the folder is judged first, then the replica that is not here
                    q->rc = RC_REPLICA_NOT_AVAILABLE;
                if (found != RC_OK)
                    q->rc = found;
                q->move.log_dir = dir;
            }
        }
    }
    if (rc == RC_OK)
        rc = partition_ask_start(&op->ask);
    if (rc != RC_OK)
        api_fail_memory(rq);
}
