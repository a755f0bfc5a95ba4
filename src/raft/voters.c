// SPDX-License-Identifier: Apache-2.0
//
// Voter sets: as values, as bytes, and the stack of those that the log holds. A set is in force from the append of its
// entry (thesis 4.1), so truncation takes it back.
#include "raft/core.h"

#include <stdlib.h>
#include <string.h>

enum { VOTERS_VERSION = 0, VOTER_BYTES = 20 };

bool raft_is_voter(const struct raft_voters *v, struct raft_id id)
{
    for (uint32_t i = 0; i < v->count; i++)
        if (raft_id_eq(v->ids[i], id))
            return true;
    return false;
}

void raft_voters_add(struct raft_voters *v, struct raft_id id)
{
    ASSERT(v->count < RAFT_VOTERS_MAX);
    uint32_t at = v->count;
    while (at > 0 && v->ids[at - 1].node > id.node) {
        v->ids[at] = v->ids[at - 1];
        at--;
    }
    v->ids[at] = id;
    v->count++;
}

void raft_voters_remove(struct raft_voters *v, struct raft_id id)
{
    for (uint32_t i = 0; i < v->count; i++) {
        if (!raft_id_eq(v->ids[i], id))
            continue;
        memmove(&v->ids[i], &v->ids[i + 1], (v->count - i - 1) * sizeof(v->ids[0]));
        v->count--;
        return;
    }
    UNREACHABLE();
}

size_t raft_voters_encode(const struct raft_voters *v, uint8_t out[RAFT_VOTERS_BYTES_MAX])
{
    ASSERT(v->count <= RAFT_VOTERS_MAX);
    out[0] = VOTERS_VERSION;
    out[1] = (uint8_t)v->count;
    for (uint32_t i = 0; i < v->count; i++) {
        put_be32(out + 2 + i * VOTER_BYTES, (uint32_t)v->ids[i].node);
        memcpy(out + 2 + i * VOTER_BYTES + 4, v->ids[i].directory.b, 16);
    }
    return 2 + (size_t)v->count * VOTER_BYTES;
}

enum rc raft_voters_decode(struct bytes in, struct raft_voters *out)
{
    *out = (struct raft_voters){0};
    if (in.n < 2)
        return RC_MALFORMED;
    if (in.p[0] != VOTERS_VERSION)
        return RC_UNSUPPORTED_VERSION;
    if (in.p[1] > RAFT_VOTERS_MAX || in.n != 2 + (size_t)in.p[1] * VOTER_BYTES)
        return RC_MALFORMED;
    for (uint32_t i = 0; i < in.p[1]; i++) {
        struct raft_id id = {.node = (int32_t)be32(in.p + 2 + i * VOTER_BYTES)};
        memcpy(id.directory.b, in.p + 2 + i * VOTER_BYTES + 4, 16);
        if (id.node < 0 || (i > 0 && out->ids[i - 1].node >= id.node))
            return RC_MALFORMED;
        out->ids[out->count++] = id;
    }
    return RC_OK;
}

enum rc raft_sets_push(struct raft *r, uint64_t index, const struct raft_voters *v)
{
    ASSERT(r->set_count == 0 || r->sets[r->set_count - 1].index < index);
    if (r->set_count == r->set_cap) {
        uint32_t cap = r->set_cap ? r->set_cap * 2 : 4;
        struct raft_set *sets = realloc(r->sets, cap * sizeof(*sets));
        if (!sets)
            return RC_NOMEM;
        r->sets = sets;
        r->set_cap = cap;
    }
    r->sets[r->set_count++] = (struct raft_set){.index = index, .voters = *v};
    return RC_OK;
}

void raft_sets_cut(struct raft *r, uint64_t from)
{
    while (r->set_count > 1 && r->sets[r->set_count - 1].index >= from)
        r->set_count--;
    ASSERT(r->set_count >= 1);
}

void raft_sets_prune(struct raft *r)
{
    uint32_t keep = 0;
    while (keep + 1 < r->set_count && r->sets[keep + 1].index <= r->commit)
        keep++;
    memmove(r->sets, r->sets + keep, (r->set_count - keep) * sizeof(r->sets[0]));
    r->set_count -= keep;
}

const struct raft_voters *raft_voters(const struct raft *r)
{
    ASSERT(r->set_count > 0);
    return &r->sets[r->set_count - 1].voters;
}

const struct raft_voters *raft_voters_at(const struct raft *r, uint64_t index)
{
    uint32_t i = r->set_count;
    while (i > 1 && r->sets[i - 1].index > index)
        i--;
    return &r->sets[i - 1].voters;
}
