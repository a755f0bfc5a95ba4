// SPDX-License-Identifier: Apache-2.0
#include "model_keys.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "base/assert.h"
#include "wire/batch.h"

enum { INFLATED_MAX = 1 << 20 };

void model_keys_deinit(struct model_keys *k)
{
    sim_free(k->v);
    *k = (struct model_keys){0};
}

static uint64_t value_hash(struct bytes value)
{
    return value.p ? XXH3_64bits(value.p, value.n) | 1 : 0;
}

void model_key_text(uint8_t key, char out[16])
{
    snprintf(out, 16, "key-%u", key);
}

void model_keys_sent(struct model_keys *k, int64_t offset, uint8_t key, struct bytes value, int64_t timestamp)
{
    while ((size_t)offset >= k->cap) {
        size_t cap = k->cap ? k->cap * 2 : 256;
        k->v = sim_realloc(k->v, cap * sizeof(*k->v));
        k->cap = cap;
    }
    k->v[offset] = (struct model_key_record){.hash = value_hash(value), .timestamp = timestamp, .key = key};
}

bool model_keys_check_begin(struct model_keys *k, struct model_check *c, enum sim_death after, struct sim *sim,
                            struct model_log *m, int64_t log_start)
{
    for (size_t i = 0; i < k->cap; i++)
        k->v[i].present = false;
    return model_check_begin(c, sim, m, after, log_start);
}

static bool wrong(struct model_check *c, const char *what, int64_t offset)
{
    if (c->m->tainted_ever)
        c->m->given_up = true;
    else
        sim_fail(c->sim, "%s: %s at offset %lld", c->m->name, what, (long long)offset);
    return false;
}

static bool check_record(struct model_keys *k, struct model_check *c, const struct record *r, int64_t *last)
{
    char text[16];
    if (r->offset <= *last || (size_t)r->offset >= k->cap)
        return wrong(c, "a record is out of place", r->offset);
    *last = r->offset;
    struct model_key_record *want = &k->v[r->offset];
    model_key_text(want->key, text);
    if (!bytes_eq(r->key, bytes_str(text)) || value_hash(r->value) != want->hash || r->timestamp != want->timestamp)
        return wrong(c, "another record than was sent", r->offset);
    want->present = true;
    return true;
}

static bool check_records(struct model_keys *k, struct model_check *c, struct bytes batch, const struct batch_header *h)
{
    static _Alignas(16) uint8_t workspace[CODEC_WORKSPACE_BYTES];
    struct buf scratch;
    struct bytes records;
    struct batch_iter it;
    struct record r;
    int64_t last = h->base_offset - 1;
    bool fine = true;
    if (h->record_count == 0)
        return true;
    buf_init(&scratch, INFLATED_MAX);
    if (batch_inflate(batch, &scratch, &records, workspace, sizeof(workspace)) != RC_OK) {
        fine = wrong(c, "records that cannot be inflated", h->base_offset);
    } else {
        batch_iter_init(&it, h, records);
        while (fine && batch_iter_next(&it, &r))
            fine = check_record(k, c, &r, &last);
        if (fine && it.rc != RC_OK)
            fine = wrong(c, "records that are damaged", h->base_offset);
    }
    buf_deinit(&scratch);
    return fine;
}

bool model_keys_check_batch(struct model_keys *k, struct model_check *c, struct bytes batch)
{
    struct model_log *m = c->m;
    struct batch_header h;
    if (batch_header_read(batch, &h) != RC_OK || batch_bytes(&h) != batch.n)
        return wrong(c, "no batch", c->next_offset);
    if (c->batches && h.base_offset < c->next_offset)
        return wrong(c, "a batch that overlaps the one before it", h.base_offset);
    // Batches of which nothing is left may be gone.
    while (c->at < m->count && m->v[c->at].last_offset < batch_last_offset(&h))
        m->v[c->at++].acked = true;
    if (c->at == m->count || m->v[c->at].last_offset != batch_last_offset(&h))
        return wrong(c, "a batch that ends where none was sent", h.base_offset);
    struct model_batch *b = &m->v[c->at];
    // One without records may stand for several that are gone.
    if (h.base_offset != b->base_offset && (h.record_count || h.producer_id >= 0))
        return wrong(c, "a batch that begins where none was sent", h.base_offset);
    if ((h.record_count || h.producer_id >= 0) &&
        (h.producer_id != b->producer_id || h.producer_epoch != b->producer_epoch || h.base_sequence != b->base_sequence))
        return wrong(c, "a batch of another producer", h.base_offset);
    if (!check_records(k, c, batch, &h))
        return false;
    b->acked = true;
    c->at++;
    c->batches++;
    c->next_offset = b->last_offset + 1;
    return true;
}

bool model_keys_check_end(struct model_keys *k, struct model_check *c, int64_t log_start, int64_t log_end)
{
    bool later[MODEL_KEYS] = {0}, earlier[MODEL_KEYS] = {0};
    if (!model_check_end(c, log_end))
        return false;
    for (int64_t o = log_end - 1; o >= log_start; o--) {
        const struct model_key_record *r = &k->v[o];
        if (!r->present && !later[r->key] && r->hash != 0)
            return wrong(c, "the latest record of its key is gone", o);
        later[r->key] = true;
    }
    for (int64_t o = log_start; o < log_end; o++) {
        const struct model_key_record *r = &k->v[o];
        if (!r->present && r->hash == 0 && earlier[r->key])
            return wrong(c, "a deletion is gone and what it deletes is not, ", o);
        earlier[r->key] = r->present && r->hash != 0 ? true : r->hash == 0 ? false : earlier[r->key];
    }
    return true;
}
