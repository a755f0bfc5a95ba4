// SPDX-License-Identifier: Apache-2.0
//
// Metadata: brokers, topics, leaders. Topics that were asked for by name and do not exist are created first when both
// the request and the configuration allow it: the answer waits until that is committed and applied on every shard, at
// most a second, and says LEADER_NOT_AVAILABLE after that, on which clients ask again.
//
// Whom the answer is to name as leaders is asked for a sign of life first (confirm.h).
#include "broker/api_metadata.h"

#include "broker/admin_op.h"
#include "broker/api.h"
#include "broker/confirm.h"
#include "broker/offsets_topic.h"
#include "engine/coordinator.h"

#define CREATE_WAIT_NS UINT64_C(1000000000)

struct metadata_op {
    struct confirm confirm;
    const struct metadata_request *in;
    const struct create_topics_response *created; // NULL: nothing was to be created
};

struct metadata_creation {
    struct metadata_op op;
    struct quorum_op quorum;
    struct create_topics_request create;
    struct create_topics_response created;
};

static void metadata_finish(struct request *rq, const struct metadata_request *in,
                            const struct create_topics_response *created)
{
    struct metadata_response out;
    if (!rq->session) {
        request_answer_none(rq, false); // nobody waits any more
        return;
    }
    struct cluster_view view = cluster_view_of(rq);
    if (metadata_scope_of(in, rq->version) != METADATA_BROKERS)
        rq->session->leaders_told_ns = shard_now_ns(rq->bs->shard);
    api_answer_reserve(rq, metadata_answer_bytes(&view, in, rq->version));
    if (metadata_build(&view, in, rq->version, created, &rq->arena, &out) == RC_OK)
        request_answer(rq, &out);
    else
        api_fail_memory(rq);
}

static void metadata_confirmed(struct confirm *c)
{
    const struct metadata_op *op = container_of(c, struct metadata_op, confirm);
    metadata_finish(c->rq, op->in, op->created);
}

static void metadata_confirm(struct metadata_op *op)
{
    struct request *rq = op->confirm.rq;
    int32_t *nodes = NULL;
    uint32_t count = 0;
    if (rq->session && metadata_leaders(engine_image(rq->bs->engine), op->in, rq->version,
                                        rq->bs->engine->engine->config.node_id, &rq->arena, &nodes, &count) != RC_OK)
        count = 0;
    confirm_alive(&op->confirm, nodes, count);
}

static struct metadata_op metadata_op_of(struct request *rq, const struct metadata_request *in,
                                         const struct create_topics_response *created)
{
    return (struct metadata_op){.confirm = {.rq = rq, .done = metadata_confirmed}, .in = in, .created = created};
}

static void metadata_created(struct quorum_op *qop, enum rc rc)
{
    struct metadata_creation *c = container_of(qop, struct metadata_creation, quorum);
    if (rc != RC_OK) // not known: what is in the image now counts, the rest is on its way
        create_topics_response_init(&c->created);
    metadata_confirm(&c->op);
}

// Asks the controller for count topics with the brokers' defaults.
static enum rc metadata_create(struct request *rq, const struct metadata_request *in, const struct bytes *names,
                               uint32_t count)
{
    admin_reserve(rq, count, (uint64_t)count * ADMIN_PARTITIONS_BY_DEFAULT);
    struct metadata_creation *c = request_alloc(rq, sizeof(*c));
    struct create_topics_request_topic *topics = arena_array(&rq->arena, count, sizeof(*topics));
    if (!c || !topics)
        return RC_NOMEM;
    c->op = metadata_op_of(rq, in, &c->created);
    create_topics_request_init(&c->create);
    create_topics_response_init(&c->created);
    for (uint32_t i = 0; i < count; i++) {
        create_topics_request_topic_init(&topics[i]);
        if (bytes_eq(names[i], COORDINATOR_TOPIC)) {
            if (offsets_topic_spec(rq->bs->engine, &rq->arena, &topics[i]) != RC_OK)
                return RC_NOMEM;
            continue;
        }
        topics[i].name = names[i];
        topics[i].num_partitions = -1;
        topics[i].replication_factor = -1;
    }
    c->create.topics = topics;
    c->create.topics_count = count;
    c->quorum = (struct quorum_op){
        .kind = CONTROLLER_CREATE_TOPICS,
        .request = &c->create,
        .answer = &c->created,
        .arena = &rq->arena,
        .deadline_ns = shard_now_ns(rq->bs->shard) + CREATE_WAIT_NS,
        .done = metadata_created,
    };
    quorum_submit(rq->bs->engine->engine->quorum, rq->bs->shard, &c->quorum);
    return RC_OK;
}

void api_metadata_begin(struct request *rq, const void *message)
{
    const struct metadata_request *in = message;
    if (metadata_request_check(in, rq->version) != RC_OK) {
        struct metadata_response out;
        if (metadata_build_error(in, RC_INVALID_REQUEST, &rq->arena, &out) == RC_OK)
            request_answer(rq, &out);
        else
            api_fail_memory(rq);
        return;
    }
    if (in->allow_auto_topic_creation && rq->bs->broker->config.auto_create_topics &&
        metadata_scope_of(in, rq->version) == METADATA_BY_NAME) {
        struct bytes *names;
        uint32_t count;
        enum rc rc = metadata_missing(engine_image(rq->bs->engine), in, &rq->arena, &names, &count);
        if (rc == RC_OK && count > 0)
            rc = metadata_create(rq, in, names, count);
        if (rc != RC_OK)
            api_fail_memory(rq);
        if (rc != RC_OK || count > 0)
            return;
    }
    struct metadata_op *op = request_alloc(rq, sizeof(*op));
    if (!op) {
        api_fail_memory(rq);
        return;
    }
    *op = metadata_op_of(rq, in, NULL);
    metadata_confirm(op);
}
