// SPDX-License-Identifier: Apache-2.0
//
// FindCoordinator: who leads the offsets partition of a group. The first who asks has the topic made and waits for it, at
// most a second; COORDINATOR_NOT_AVAILABLE then, on which clients ask again. Transactions have no coordinator yet.
// Whom the answer is to name is asked for a sign of life first (confirm.h).
#include "broker/api.h"
#include "broker/cluster_view.h"
#include "broker/confirm.h"
#include "broker/offsets_topic.h"
#include "engine/coordinator.h"
#include "model/kerr.h"

enum coordinator_key_type { KEY_GROUP = 0, KEY_TRANSACTION = 1, KEY_SHARE = 2 };
enum { BATCHED_KEYS_VERSION = 4, SHARE_KEYS_VERSION = 6 };

struct find_op {
    struct confirm confirm;
    const struct find_coordinator_request *in;
    struct offsets_topic_waiter waiter;
};

// One key's answer. error_message is static.
struct find_result {
    enum rc rc;
    const char *text;
    int32_t node;
    const struct image_listener *address;
};

static struct find_result find_failed(enum rc rc, const char *text)
{
    return (struct find_result){.rc = rc, .text = text, .node = NODE_ID_NONE};
}

static const struct image_partition *find_partition(const struct image *image, int8_t type, struct bytes key)
{
    struct topic_partition id;
    const struct image_topic *t = NULL;
    if (type == KEY_GROUP && coordinator_partition(image, key, &id))
        t = image_topic_by_id(image, id.topic_id);
    return t ? image_partition(t, id.partition) : NULL;
}

static struct find_result find_key(const struct cluster_view *view, int8_t type, int16_t version, struct bytes key)
{
    int8_t type_max = version >= SHARE_KEYS_VERSION ? KEY_SHARE : KEY_TRANSACTION;
    if (type < KEY_GROUP || type > type_max)
        return find_failed(RC_INVALID_REQUEST, "Unknown coordinator key type.");
    const struct image_partition *p = find_partition(view->image, type, key);
    const struct image_listener *address = p ? cluster_view_leader(view, p) : NULL;
    if (!address)
        return find_failed(RC_COORDINATOR_NOT_AVAILABLE, "The coordinator is not available.");
    return (struct find_result){.node = p->leader, .address = address};
}

static void find_answer_batched(struct request *rq, const struct cluster_view *view,
                                const struct find_coordinator_request *in)
{
    struct find_coordinator_response out;
    find_coordinator_response_init(&out);
    api_answer_reserve(rq, (size_t)in->coordinator_keys_count * sizeof(*out.coordinators));
    out.coordinators = arena_array(&rq->arena, in->coordinator_keys_count, sizeof(*out.coordinators));
    if (!out.coordinators) {
        api_fail_memory(rq);
        return;
    }
    for (uint32_t i = 0; i < in->coordinator_keys_count; i++) {
        struct find_result r = find_key(view, in->key_type, rq->version, in->coordinator_keys[i]);
        struct find_coordinator_response_coordinator *c = &out.coordinators[out.coordinators_count++];
        find_coordinator_response_coordinator_init(c);
        c->key = in->coordinator_keys[i];
        c->node_id = r.node;
        c->host = bytes_str(r.address ? r.address->host : "");
        c->port = r.address ? r.address->port : -1;
        c->error_code = kerr_of(r.rc);
        if (r.text)
            c->error_message = bytes_str(r.text);
    }
    request_answer(rq, &out);
}

static void find_answer(struct request *rq, const struct find_coordinator_request *in)
{
    if (!rq->session) {
        request_answer_none(rq, false);
        return;
    }
    struct cluster_view view = cluster_view_of(rq);
    if (rq->version >= BATCHED_KEYS_VERSION) {
        find_answer_batched(rq, &view, in);
        return;
    }
    struct find_result r = find_key(&view, in->key_type, rq->version, in->key);
    struct find_coordinator_response out;
    find_coordinator_response_init(&out);
    out.error_code = kerr_of(r.rc);
    out.error_message = bytes_str(r.text ? r.text : "NONE"); // as Kafka says it
    out.node_id = r.node;
    out.host = bytes_str(r.address ? r.address->host : "");
    out.port = r.address ? r.address->port : -1;
    request_answer(rq, &out);
}

static void find_confirmed(struct confirm *c)
{
    find_answer(c->rq, container_of(c, struct find_op, confirm)->in);
}

// Each coordinator that an answer will name once, but for this node.
static void find_confirm(struct find_op *op)
{
    struct request *rq = op->confirm.rq;
    const struct find_coordinator_request *in = op->in;
    const struct image *image = engine_image(rq->bs->engine);
    const struct bytes *keys = rq->version < BATCHED_KEYS_VERSION ? &in->key : in->coordinator_keys;
    uint32_t key_count = rq->version < BATCHED_KEYS_VERSION ? 1 : in->coordinator_keys_count, count = 0;
    uint32_t count_max = key_count < image->node_count ? key_count : image->node_count;
    int32_t *nodes = count_max > 0 ? arena_array(&rq->arena, count_max, sizeof(*nodes)) : NULL;
    for (uint32_t i = 0; nodes && i < key_count && count < count_max; i++) {
        const struct image_partition *p = find_partition(image, in->key_type, keys[i]);
        bool known = !p || p->leader == NODE_ID_NONE || p->leader == rq->bs->engine->engine->config.node_id;
        for (uint32_t k = 0; k < count && !known; k++)
            known = nodes[k] == p->leader;
        if (!known)
            nodes[count++] = p->leader;
    }
    confirm_alive(&op->confirm, nodes, count);
}

static void find_made(struct offsets_topic_waiter *w)
{
    find_confirm(container_of(w, struct find_op, waiter));
}

void api_find_coordinator_begin(struct request *rq, const void *message)
{
    const struct find_coordinator_request *in = message;
    bool asks = rq->version < BATCHED_KEYS_VERSION || in->coordinator_keys_count > 0;
    struct find_op *op = request_alloc(rq, sizeof(*op));
    if (!op) {
        api_fail_memory(rq);
        return;
    }
    *op = (struct find_op){.confirm = {.rq = rq, .done = find_confirmed}, .in = in, .waiter.done = find_made};
    if (in->key_type == KEY_GROUP && asks && !image_topic_by_name(engine_image(rq->bs->engine), COORDINATOR_TOPIC) &&
        offsets_topic_want(&rq->bs->offsets_topic, &op->waiter))
        return;
    find_confirm(op);
}
