// SPDX-License-Identifier: Apache-2.0
//
// Producer state of a log; see producer_state.h. The rules of sequences are KIP-98's.
#include "store/producer_state.h"
#include "base/assert.h"
#include "model/ids.h"

#include <stdlib.h>
#include <string.h>

// Sequences wrap from 2^31-1 to 0.
static int32_t sequence_add(int32_t sequence, int32_t n)
{
    return (int32_t)(((int64_t)sequence + n) % (INT64_C(1) << 31));
}

static int32_t producer_batch_first_sequence(const struct producer_batch *b)
{
    int64_t first = (int64_t)b->last_sequence - b->offset_delta;
    return (int32_t)(first < 0 ? first + (INT64_C(1) << 31) : first);
}

void producer_registry_init(struct producer_registry *r)
{
    list_init(&r->by_age);
}

static bool producer_eq(const struct map_node *n, const void *key)
{
    return container_of(n, const struct producer_entry, node)->producer_id == *(const int64_t *)key;
}

struct producer_entry *producer_state_find(const struct producer_state *s, int64_t producer_id)
{
    struct map_node *n = map_find(&s->map, map_hash_u64((uint64_t)producer_id), producer_eq, &producer_id);
    return n ? container_of(n, struct producer_entry, node) : NULL;
}

static struct producer_entry *producer_state_add(struct producer_state *s, int64_t producer_id, int16_t epoch)
{
    struct producer_entry *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    *e = (struct producer_entry){
        .home = s,
        .producer_id = producer_id,
        .epoch = epoch,
        .txn_first_offset = OFFSET_NONE,
        .last_timestamp = TIMESTAMP_NONE,
        .coordinator_epoch = -1,
    };
    if (map_insert(&s->map, &e->node, map_hash_u64((uint64_t)producer_id))) {
        free(e);
        return NULL;
    }
    list_push_back(&s->registry->by_age, &e->age);
    return e;
}

static void producer_state_remove(struct producer_state *s, struct producer_entry *e)
{
    if (e->txn_first_offset != OFFSET_NONE)
        s->open_txns--;
    map_remove(&s->map, &e->node);
    list_remove(&s->registry->by_age, &e->age);
    free(e);
}

static void producer_entry_touch(struct producer_entry *e, uint64_t now_ns)
{
    struct list *by_age = &e->home->registry->by_age;
    e->used_ns = now_ns;
    list_remove(by_age, &e->age);
    list_push_back(by_age, &e->age);
}

static void producer_state_drop(struct producer_state *s, bool refused_too)
{
    for (struct map_node *n = map_first(&s->map), *next; n; n = next) {
        struct producer_entry *e = container_of(n, struct producer_entry, node);
        next = map_next(&s->map, n);
        if (refused_too || !e->refused)
            producer_state_remove(s, e);
    }
    ASSERT(s->open_txns == 0);
}

void producer_state_clear(struct producer_state *s)
{
    producer_state_drop(s, false);
    s->changed = true;
}

void producer_state_hand_on_refused(struct producer_state *s, struct producer_state *to)
{
    for (struct map_node *n = map_first(&s->map), *next; n; n = next) {
        struct producer_entry *e = container_of(n, struct producer_entry, node);
        next = map_next(&s->map, n);
        if (!e->refused || e->pending || producer_state_find(to, e->producer_id))
            continue;
        map_remove(&s->map, n);
        if (map_insert(&to->map, n, map_hash_u64((uint64_t)e->producer_id)) == RC_OK) {
            e->home = to;
            continue;
        }
        list_remove(&e->home->registry->by_age, &e->age);
        free(e);
    }
}

void producer_state_deinit(struct producer_state *s)
{
    producer_state_drop(s, true);
    map_deinit(&s->map);
    s->changed = false;
}

enum producer_verdict producer_state_check(const struct producer_state *s, const struct producer_append *a,
                                           struct producer_batch *duplicate)
{
    const struct producer_entry *e = producer_state_find(s, a->producer_id);
    if (!e || (e->refused && e->epoch != a->epoch))
        return PRODUCER_NEW;
    if (a->epoch < e->epoch)
        return PRODUCER_STALE_EPOCH;
    if (a->epoch > e->epoch)
        return a->base_sequence == 0 ? PRODUCER_NEW : PRODUCER_OUT_OF_ORDER;
    for (unsigned i = 0; i < e->batch_count; i++) {
        const struct producer_batch *b = &e->batches[i];
        if (producer_batch_first_sequence(b) == a->base_sequence && b->offset_delta == a->records - 1) {
            *duplicate = *b;
            return PRODUCER_DUPLICATE;
        }
    }
    int32_t expected = e->refused       ? e->wanted
                       : e->batch_count ? sequence_add(e->batches[e->batch_count - 1].last_sequence, 1)
                                        : 0;
    return a->base_sequence == expected ? PRODUCER_NEW : PRODUCER_OUT_OF_ORDER;
}

static void producer_entry_push(struct producer_entry *e, const struct producer_batch *b)
{
    if (e->batch_count == PRODUCER_BATCHES_KEPT) {
        memmove(e->batches, e->batches + 1, (PRODUCER_BATCHES_KEPT - 1) * sizeof(*b));
        e->batch_count--;
    }
    e->batches[e->batch_count++] = *b;
}

static void producer_entry_save(struct producer_entry *e, bool made, struct producer_undo *undo)
{
    *undo = (struct producer_undo){
        .entry = e,
        .made = made,
        .txn_first_offset = e->txn_first_offset,
        .last_timestamp = e->last_timestamp,
        .coordinator_epoch = e->coordinator_epoch,
        .epoch = e->epoch,
        .batch_count = e->batch_count,
        .refused = e->refused,
        .wanted = e->wanted,
    };
    memcpy(undo->batches, e->batches, sizeof(e->batches));
    undo->older = e->pending_last;
    if (e->pending_last)
        e->pending_last->newer = undo;
    else
        e->pending_first = undo;
    e->pending_last = undo;
    e->pending++;
}

static void producer_entry_set_txn(struct producer_entry *e, int64_t first_offset)
{
    bool was = e->txn_first_offset != OFFSET_NONE, is = first_offset != OFFSET_NONE;
    e->txn_first_offset = first_offset;
    if (is && !was)
        e->home->open_txns++;
    if (was && !is)
        e->home->open_txns--;
}

enum rc producer_state_apply(struct producer_state *s, const struct producer_append *a, uint64_t now_ns,
                             struct producer_undo *undo)
{
    struct producer_entry *e = producer_state_find(s, a->producer_id);
    bool made = !e;
    if (made && !(e = producer_state_add(s, a->producer_id, a->epoch)))
        return RC_NOMEM;
    if (undo && e->pending == UINT8_MAX) // far more than a connection may have waiting; shed rather than wrap
        return RC_NOMEM;
    if (undo)
        producer_entry_save(e, made, undo);
    if (a->epoch != e->epoch) {
        e->epoch = a->epoch;
        e->batch_count = 0;
    }
    e->refused = false;
    e->last_timestamp = a->timestamp_max;
    if (a->control) {
        e->coordinator_epoch = a->coordinator_epoch;
        producer_entry_set_txn(e, OFFSET_NONE);
    } else {
        producer_entry_push(e, &(struct producer_batch){
                                   .last_offset = a->base_offset + a->records - 1,
                                   .timestamp = a->timestamp_max,
                                   .last_sequence = sequence_add(a->base_sequence, a->records - 1),
                                   .offset_delta = a->records - 1,
                               });
        if (a->transactional && e->txn_first_offset == OFFSET_NONE)
            producer_entry_set_txn(e, a->base_offset);
    }
    producer_entry_touch(e, now_ns);
    s->changed = true;
    return RC_OK;
}

enum rc producer_state_restore(struct producer_state *s, int64_t producer_id, int16_t epoch,
                               const struct producer_batch *b, int32_t coordinator_epoch, int64_t txn_first_offset,
                               uint64_t now_ns)
{
    if (producer_id < 0 || b->offset_delta < 0 || txn_first_offset < OFFSET_NONE)
        return RC_CORRUPT;
    struct producer_entry *e = producer_state_find(s, producer_id);
    if (!e && !(e = producer_state_add(s, producer_id, epoch)))
        return RC_NOMEM;
    e->epoch = epoch;
    e->refused = false;
    e->coordinator_epoch = coordinator_epoch;
    e->last_timestamp = b->timestamp;
    if (b->last_sequence >= 0 && b->last_offset >= 0)
        producer_entry_push(e, b);
    producer_entry_set_txn(e, txn_first_offset);
    producer_entry_touch(e, now_ns);
    return RC_OK;
}

void producer_state_refuse(struct producer_state *s, const struct producer_append *a, uint64_t now_ns)
{
    struct producer_entry *e = producer_state_find(s, a->producer_id);
    if (e && (!e->refused || e->epoch == a->epoch)) // what is known judges what comes next, the first refusal included
        return;
    if (!e && !(e = producer_state_add(s, a->producer_id, a->epoch)))
        return;
    e->epoch = a->epoch;
    e->refused = true;
    e->wanted = a->base_sequence;
    producer_entry_touch(e, now_ns);
}

void producer_state_commit(struct producer_undo *undo)
{
    struct producer_entry *e = undo->entry;
    if (!e)
        return;
    ASSERT(e->pending > 0 && e->pending_first == undo);
    e->pending_first = undo->newer;
    if (undo->newer)
        undo->newer->older = NULL;
    else
        e->pending_last = NULL;
    e->pending--;
    undo->entry = NULL;
}

void producer_state_undo(struct producer_state *s, struct producer_undo *undo)
{
    struct producer_entry *e = undo->entry;
    if (!e)
        return;
    ASSERT(e->pending > 0 && e->home == s && e->pending_last == undo);
    e->pending_last = undo->older;
    if (undo->older)
        undo->older->newer = NULL;
    else
        e->pending_first = NULL;
    e->pending--;
    undo->entry = NULL;
    if (undo->made) {
        ASSERT(e->pending == 0); // undone newest first: the one that made it is the last
        if (e->batch_count == 0) { // a marker
            producer_state_remove(s, e);
            return;
        }
        e->wanted = producer_batch_first_sequence(&e->batches[0]);
        e->refused = true;
        e->batch_count = 0;
        producer_entry_set_txn(e, OFFSET_NONE);
        return;
    }
    producer_entry_set_txn(e, undo->txn_first_offset);
    e->last_timestamp = undo->last_timestamp;
    e->coordinator_epoch = undo->coordinator_epoch;
    e->epoch = undo->epoch;
    e->batch_count = undo->batch_count;
    e->refused = undo->refused;
    e->wanted = undo->wanted;
    memcpy(e->batches, undo->batches, sizeof(e->batches));
}

uint32_t producer_registry_expire(struct producer_registry *r, uint64_t before_ns, uint32_t count_max)
{
    uint32_t forgotten = 0, seen = 0;
    uint32_t seen_max = count_max * 2 + 16; // those that may not go are stepped over, but not without end
    for (struct list_node *n = list_first(&r->by_age), *next; n && forgotten < count_max && seen < seen_max; n = next) {
        struct producer_entry *e = list_entry(n, struct producer_entry, age);
        next = list_next(&r->by_age, n);
        seen++;
        if (e->used_ns >= before_ns)
            break;
        if (e->pending || e->txn_first_offset != OFFSET_NONE)
            continue;
        e->home->changed = true;
        producer_state_remove(e->home, e);
        forgotten++;
    }
    return forgotten;
}

int64_t producer_state_first_unstable(const struct producer_state *s)
{
    int64_t first = OFFSET_NONE;
    if (s->open_txns == 0)
        return first;
    for (struct map_node *n = map_first(&s->map); n; n = map_next(&s->map, n)) {
        const struct producer_entry *e = container_of(n, const struct producer_entry, node);
        if (e->txn_first_offset != OFFSET_NONE && (first == OFFSET_NONE || e->txn_first_offset < first))
            first = e->txn_first_offset;
    }
    return first;
}
