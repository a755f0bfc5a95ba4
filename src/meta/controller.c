// SPDX-License-Identifier: Apache-2.0
//
// Batches, and the decisions about nodes, producer ids and features. A decision works on a view of its own, an image
// that goes one step beyond the batch's: dropping that view is all it takes to undo it.
#include "meta/controller_core.h"
#include "meta/image_core.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "wire/peer_messages.h"

enum { REGISTRATION_BYTES = 16 << 10, CHANGE_RECORD_BYTES = 64 };

enum rc controller_batch_begin(struct controller_batch *b, const struct image *base, uint64_t index, uint64_t term)
{
    *b = (struct controller_batch){.index = index, .term = term};
    buf_init(&b->records, METADATA_ENTRY_BYTES_MAX);
    b->view = image_begin(base);
    return b->view ? RC_OK : RC_NOMEM;
}

void controller_batch_end(struct controller_batch *b)
{
    image_unref(b->view);
    image_unref(b->draft);
    buf_deinit(&b->records);
    *b = (struct controller_batch){0};
}

// ---- one decision ----

void decision_add(struct decision *d, const struct schema_message *m, const void *record)
{
    if (d->rc != RC_OK)
        return;
    struct buf *b = &d->batch->records;
    size_t start = b->n;
    d->rc = image_record_put(b, m, record);
    if (d->rc != RC_OK)
        return;
    d->batch->record_count++;
    d->rc = image_apply_entry(d->view, bytes_of(b->p + start, b->n - start), d->batch->index, d->batch->term);
    ASSERT(d->rc == RC_OK || d->rc == RC_NOMEM); // what was decided can be applied
}

struct bytes decision_text(struct decision *d, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    ASSERT(n >= 0);
    size_t length = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
    char *copy = arena_copy(d->arena, text, length);
    if (!copy)
        d->rc = RC_NOMEM;
    return bytes_of(copy ? copy : "", copy ? length : 0);
}

const char *decision_string(struct decision *d, struct bytes b)
{
    const char *copy = arena_copy(d->arena, b.p, b.n);
    if (!copy)
        d->rc = RC_NOMEM;
    return copy ? copy : "";
}

void *decision_array(struct decision *d, size_t count, size_t size)
{
    void *p = arena_array(d->arena, count, size);
    if (!p)
        d->rc = RC_NOMEM;
    return p;
}

struct keyed {
    struct bytes key;
    uint32_t at;
};

static int keyed_order(const void *a, const void *b)
{
    return bytes_cmp(((const struct keyed *)a)->key, ((const struct keyed *)b)->key);
}

const bool *decision_duplicates(struct decision *d, const struct bytes *keys, uint32_t count)
{
    bool *flags = decision_array(d, count, sizeof(*flags));
    struct keyed *sorted = decision_array(d, count, sizeof(*sorted));
    if (!flags || !sorted)
        return NULL;
    for (uint32_t i = 0; i < count; i++)
        sorted[i] = (struct keyed){keys[i], i};
    qsort(sorted, count, sizeof(*sorted), keyed_order);
    for (uint32_t i = 1; i < count; i++)
        if (bytes_eq(sorted[i].key, sorted[i - 1].key))
            flags[sorted[i].at] = flags[sorted[i - 1].at] = true;
    return flags;
}

bool decision_fits(struct decision *d, uint32_t work, size_t bytes, bool *never)
{
    // What takes several turns begins a batch: it can then be given up without anything else.
    bool long_one = work > CONTROLLER_PIECE_PARTITIONS / CONTROLLER_WORK_PARTITIONS;
    *never = bytes > METADATA_ENTRY_BYTES_MAX;
    if (*never)
        return false;
    if ((long_one && d->batch->records.n > 0) || d->batch->records.n + bytes > METADATA_ENTRY_BYTES_MAX ||
        (d->work > 0 && d->work + work > CONTROLLER_WORK_MAX)) {
        d->more = true;
        return false;
    }
    d->work += work;
    return true;
}

// ---- nodes ----

static enum rc check_epoch(const struct image *i, int32_t node, int64_t broker_epoch)
{
    const struct image_node *n = image_node(i, node);
    if (!n)
        return RC_BROKER_ID_NOT_REGISTERED;
    return n->broker_epoch == broker_epoch ? RC_OK : RC_STALE_BROKER_EPOCH;
}

static bool shares_directory(const struct image_node *n, const struct controller_registration *in)
{
    for (uint32_t i = 0; i < n->directory_count; i++)
        for (uint32_t j = 0; j < in->directory_count; j++)
            if (uuid_eq(n->directories[i], in->directories[j]))
                return true;
    return false;
}

static void registration_record_from(struct decision *d, const struct controller_registration *in,
                                     struct registration_record *r)
{
    registration_record_init(r);
    r->node = in->node;
    r->incarnation = in->incarnation;
    r->rack = in->rack;
    r->directories = (struct uuid *)(uintptr_t)in->directories;
    r->directories_count = in->directory_count;
    r->peer_host = in->peer_host ? bytes_str(in->peer_host) : (struct bytes){0};
    r->peer_port = in->peer_port;
    r->listeners = decision_array(d, in->listener_count, sizeof(*r->listeners));
    r->features = decision_array(d, 1, sizeof(*r->features));
    if (d->rc != RC_OK)
        return;
    r->listeners_count = in->listener_count;
    for (uint32_t i = 0; i < in->listener_count; i++)
        r->listeners[i] = (struct registration_record_listener){.name = bytes_str(in->listeners[i].name),
                                                                .host = bytes_str(in->listeners[i].host),
                                                                .port = in->listeners[i].port,
                                                                .protocol = in->listeners[i].protocol};
    r->features_count = 1;
    r->features[0] = (struct registration_record_feature){
        .name = bytes_str(FEATURE_METADATA_VERSION), .min = METADATA_VERSION_MIN, .max = METADATA_VERSION_MAX};
}

static enum rc decide_register(struct decision *d, const struct controller_registration *in,
                               struct controller_registration *out)
{
    if (in->node < 0 || in->directory_count == 0)
        return RC_INVALID_REQUEST;
    const struct image_node *old = image_node(d->view, in->node);
    *out = *in;
    if (old && uuid_eq(old->incarnation, in->incarnation)) {
        out->broker_epoch = old->broker_epoch; // asked again after an answer was lost
        return RC_OK;
    }
    // The same folder proves the old process dead (it held the lock); so does being that process's successor here.
    if (old && !old->fenced && in->node != d->env->self && !shares_directory(old, in))
        return RC_DUPLICATE_BROKER_REGISTRATION;
    // The partitions that others can lead move first, a batch at a time; each step stands by itself.
    if (old && !d->progress->moved) {
        if (!decide_leave(d, in->node,
                          !shares_directory(old, in) ? DECIDE_LEAVE_EMPTIED
                          : in->logs_whole           ? DECIDE_LEAVE_REPLACED
                                                     : DECIDE_LEAVE_NOT_WHOLE))
            return RC_OK;
        d->progress->topic = (struct bytes){0};
    }
    bool never;
    if (!decision_fits(d, 1, REGISTRATION_BYTES, &never)) {
        d->progress->moved = true;
        return RC_OK;
    }
    if (d->progress->alone)
        trace_warn(
            d->env->trace,
            "node %d %s: %llu partitions have no other replica in sync; records that %s may be lost", in->node,
            shares_directory(old, in) ? "stopped uncleanly" : "comes with empty folders",
            (unsigned long long)d->progress->alone,
            shares_directory(old, in) ? "were not on disk" : "only it had");
    struct registration_record r;
    registration_record_from(d, in, &r);
    r.renew = old != NULL;
    decision_add(d, &registration_record_message, &r);
    out->broker_epoch = (int64_t)d->batch->index;
    return RC_OK;
}

// The node's new state first, so that nothing is given to one that goes; then its partitions, in as many batches as they
// need.
static enum rc decide_node_state(struct decision *d, const struct controller_node_state *in)
{
    const struct image_node *n = image_node(d->view, in->node);
    bool own = in->incarnation && n && uuid_eq(n->incarnation, *in->incarnation);
    int64_t epoch = own ? n->broker_epoch : in->broker_epoch;
    enum rc rc = check_epoch(d->view, in->node, epoch);
    if (rc != RC_OK)
        return rc;
    if (!d->progress->stated) {
        if (n->fenced == in->fenced && n->in_shutdown == in->in_shutdown)
            return RC_OK;
        bool never;
        if (!decision_fits(d, 1, CHANGE_RECORD_BYTES, &never))
            return RC_OK;
        struct node_state_record r = {
            .node = in->node, .broker_epoch = epoch, .fenced = in->fenced, .in_shutdown = in->in_shutdown};
        decision_add(d, &node_state_record_message, &r);
    }
    bool whole = in->fenced        ? decide_leave(d, in->node, DECIDE_LEAVE_DEAD)
                 : in->in_shutdown ? decide_leave(d, in->node, DECIDE_LEAVE_SHUTDOWN)
                                   : decide_return(d, in->node);
    if (!whole && d->rc == RC_OK)
        d->progress->stated = true;
    return RC_OK;
}

static enum rc decide_producer_ids(struct decision *d, const struct controller_producer_ids *in,
                                   struct controller_producer_ids *out)
{
    enum rc rc = check_epoch(d->view, in->node, in->broker_epoch);
    if (rc != RC_OK)
        return rc;
    int64_t first = d->view->next_producer_id;
    if (first > INT64_MAX - PRODUCER_ID_BLOCK)
        return RC_UNKNOWN_SERVER_ERROR;
    struct producer_ids_record r = {
        .node = in->node, .broker_epoch = in->broker_epoch, .next_producer_id = first + PRODUCER_ID_BLOCK};
    decision_add(d, &producer_ids_record_message, &r);
    *out = *in;
    out->first = first;
    out->count = PRODUCER_ID_BLOCK;
    return RC_OK;
}

static enum rc decide_format(struct decision *d)
{
    if (image_feature_level(d->view, FEATURE_METADATA_VERSION) > 0)
        return RC_OK;
    struct feature_record r = {.name = bytes_str(FEATURE_METADATA_VERSION), .level = METADATA_VERSION_MAX};
    decision_add(d, &feature_record_message, &r);
    return RC_OK;
}

static enum rc decide_isr(struct decision *d, const struct alter_isr *in, struct alter_isr_answer *out)
{
    enum rc rc = check_epoch(d->view, in->node, in->broker_epoch);
    if (rc == RC_OK)
        decide_alter_isr(d, in, out);
    return rc;
}

static enum rc decide_offline(struct decision *d, const struct replicas_offline *in)
{
    enum rc rc = check_epoch(d->view, in->node, in->broker_epoch);
    if (rc == RC_OK)
        decide_replicas_offline(d, in);
    return rc;
}

// ---- dispatch ----

static enum rc decide(struct decision *d, enum controller_kind kind, const void *request, void *answer)
{
    switch (kind) {
    case CONTROLLER_CREATE_TOPICS:
        decide_create_topics(d, request, answer);
        return RC_OK;
    case CONTROLLER_DELETE_TOPICS:
        decide_delete_topics(d, request, answer);
        return RC_OK;
    case CONTROLLER_CREATE_PARTITIONS:
        decide_create_partitions(d, request, answer);
        return RC_OK;
    case CONTROLLER_ALTER_CONFIGS:
        decide_alter_configs(d, request, answer);
        return RC_OK;
    case CONTROLLER_INCREMENTAL_ALTER_CONFIGS:
        decide_incremental_alter_configs(d, request, answer);
        return RC_OK;
    case CONTROLLER_PRODUCER_IDS:
        return decide_producer_ids(d, request, answer);
    case CONTROLLER_REGISTER:
        return decide_register(d, request, answer);
    case CONTROLLER_NODE_STATE:
        return decide_node_state(d, request);
    case CONTROLLER_ELECT_LEADERS:
        decide_elect_leaders(d, request, answer);
        return RC_OK;
    case CONTROLLER_ALTER_ISR:
        return decide_isr(d, request, answer);
    case CONTROLLER_UNREGISTER:
        decide_unregister(d, request, answer);
        return RC_OK;
    case CONTROLLER_UPDATE_FEATURES:
        decide_update_features(d, request, answer);
        return RC_OK;
    case CONTROLLER_TEND:
        decide_tend(d, request, answer);
        return RC_OK;
    case CONTROLLER_FORMAT:
        return decide_format(d);
    case CONTROLLER_REASSIGN:
        decide_reassign(d, request, answer);
        return RC_OK;
    case CONTROLLER_REPLICAS_OFFLINE:
        return decide_offline(d, request);
    case CONTROLLER_KINDS:
        break;
    }
    UNREACHABLE();
}

enum rc controller_decide(struct controller_batch *b, const struct controller_env *env, enum controller_kind kind,
                          const void *request, void *answer, struct controller_progress *progress, struct arena *arena)
{
    size_t start = b->draft ? b->draft_start : b->records.n;
    uint32_t count = b->draft ? b->draft_count : b->record_count;
    const struct controller_progress before = *progress;
    struct decision d = {.batch = b,
                         .env = env,
                         .arena = arena,
                         .progress = progress,
                         .view = b->draft ? b->draft : image_begin(b->view),
                         .work = b->draft ? b->draft_work : 0};
    b->draft = NULL;
    if (!d.view)
        return RC_NOMEM;
    decide_adding(&d);
    enum rc rc = d.rc == RC_OK && !d.unfinished ? decide(&d, kind, request, answer) : RC_OK;
    if (rc == RC_OK)
        rc = d.rc;
    if (rc == RC_OK && d.unfinished) {
        b->draft = d.view;
        b->draft_start = start;
        b->draft_count = count;
        b->draft_work = d.work;
        return RC_AGAIN;
    }
    if (rc == RC_OK && !d.dry) {
        image_unref(b->view);
        b->view = d.view;
        return d.more ? RC_AGAIN : RC_OK;
    }
    image_unref(d.view);
    if (rc != RC_OK)
        *progress = before; // RC_FULL: it is decided once more
    b->records.n = start;
    b->record_count = count;
    if (rc == RC_OK && d.more)
        return RC_AGAIN; // validating
    // Alone in a batch and still too large: no later one will do.
    return rc == RC_FULL && count == 0 ? RC_POLICY_VIOLATION : rc;
}
