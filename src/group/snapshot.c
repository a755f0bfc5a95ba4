// SPDX-License-Identifier: Apache-2.0
//
// Durable state as records: what a replay of the log would leave, in the log's own formats, group by group.
#include "group/core.h"

void group_snapshot_put(struct buf *out, const struct schema_message *key_message, int16_t key_version, const void *key,
                        const struct schema_message *value_message, int16_t value_version, const void *value)
{
    struct buf scratch = {0};
    buf_init(&scratch, INT32_MAX);
    struct enc e;
    enc_init(&e, &scratch, NULL, 0);
    enc_i16(&e, key_version);
    schema_encode(key_message, &e, key_version, key);
    size_t key_bytes = scratch.n;
    enc_i16(&e, value_version);
    schema_encode(value_message, &e, value_version, value);
    if (!enc_ok(&e))
        out->failed = true;
    else
        group_snapshot_raw(out, bytes_of(scratch.p, key_bytes),
                           bytes_of(scratch.p + key_bytes, scratch.n - key_bytes));
    buf_deinit(&scratch);
}

void group_snapshot_raw(struct buf *out, struct bytes key, struct bytes value)
{
    const struct bytes parts[] = {key, value};
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        uint8_t length[VARINT_BYTES_MAX];
        buf_append(out, length, varint_put(length, parts[i].n));
        buf_append(out, parts[i].p, parts[i].n);
    }
}

static enum rc group_snapshot(const struct group *gr, struct buf *out)
{
    enum rc rc = RC_OK;
    if (gr->type == GROUP_CLASSIC)
        rc = classic_snapshot(gr, out);
    else if (gr->type == GROUP_CONSUMER)
        rc = consumer_snapshot(gr, out);
    if (rc == RC_OK)
        rc = offsets_snapshot(gr, out);
    return rc != RC_OK ? rc : out->failed ? RC_NOMEM : RC_OK;
}

enum rc groups_snapshot(const struct groups *g, struct groups_cursor *cursor, size_t bytes_max, struct buf *out)
{
    if (!list_empty(&core_of(g)->txns))
        return RC_UNSUPPORTED;
    if (!cursor->a) {
        cursor->a = 1;
        cursor->p = map_first(&g->by_id);
    }
    size_t from = out->n;
    while (cursor->p && out->n - from < bytes_max) {
        struct map_node *n = cursor->p;
        enum rc rc = group_snapshot(container_of(n, struct group, node), out);
        if (rc != RC_OK)
            return rc;
        cursor->p = map_next(&g->by_id, n);
    }
    return cursor->p ? RC_AGAIN : RC_OK;
}
