// SPDX-License-Identifier: Apache-2.0
//
// Stored records into state: the one way in which durable state changes, live and when the log is read. The version of
// a key tells its kind:
//
//     0 1  offsets (offsets_apply.c)      2  classic group (classic_store.c)      3-8 16  new protocol (consumer_*.c)
//
// Kinds that are not known (9 to 15 are share groups', 17 up streams groups') and records that cannot be read are
// skipped with a warning, as Kafka does it: they were written by a newer broker, or are nobody's.
#include "group/core.h"

enum { DECODE_BYTES_LEAST = 1 << 16, DECODE_EXPANSION = 16, SKIPPED_TOLD = 20 };

enum rc group_stored_decode(const struct schema_message *m, struct bytes in, struct arena *a, void *out,
                            int16_t *version)
{
    struct dec d = dec_of(in);
    int16_t v = dec_i16(&d);
    if (d.bad)
        return RC_MALFORMED;
    if (version)
        *version = v;
    if (v < m->version_min || v > m->version_max)
        return RC_UNSUPPORTED_VERSION;
    return schema_decode(m, &d, v, a, out);
}

void group_stored_arena(struct arena *a, struct bytes in)
{
    size_t limit = in.n > SIZE_MAX / DECODE_EXPANSION ? SIZE_MAX : in.n * DECODE_EXPANSION;
    arena_init(a, limit > DECODE_BYTES_LEAST ? limit : DECODE_BYTES_LEAST, NULL, 0);
}

enum rc groups_apply(struct groups *g, int64_t producer_id, int16_t producer_epoch, struct bytes key,
                     struct bytes value)
{
    (void)producer_epoch; // a marker ends whatever its producer left open
    core_of(g)->version++;
    struct dec d = dec_of(key);
    int16_t kind = dec_i16(&d);
    enum rc rc;
    if (d.bad)
        rc = RC_MALFORMED;
    else if (kind == 0 || kind == 1)
        rc = offsets_apply(g, producer_id, key, value);
    else if (kind == 2)
        rc = classic_apply(g, key, value);
    else if ((kind >= 3 && kind <= 8) || kind == 16)
        rc = consumer_apply(g, kind, key, value);
    else
        rc = RC_UNSUPPORTED;
    if (rc == RC_OK || rc == RC_NOMEM)
        return rc;
    // A log of Kafka's may be full of share groups: all of them count, some of them are told.
    uint64_t skipped = ++core_of(g)->skipped;
    if (skipped > SKIPPED_TOLD && (skipped & (skipped - 1)) != 0)
        return RC_OK;
    trace_warn(g->host.trace,
               "group coordinator: skipped a record with key version %d (%zu bytes of key, %zu of value): %s; %llu so far",
               d.bad ? -1 : kind, key.n, value.n, rc_text(rc), (unsigned long long)skipped);
    return RC_OK;
}

enum rc groups_apply_marker(struct groups *g, int64_t producer_id, int16_t producer_epoch, bool commit)
{
    (void)producer_epoch;
    core_of(g)->version++;
    return offsets_apply_marker(g, producer_id, commit);
}
