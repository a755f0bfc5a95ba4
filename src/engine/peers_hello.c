// SPDX-License-Identifier: Apache-2.0
//
// Hello as a message and back. The lists of what each side speaks are checked here: a node of another release is told
// which message or feature stands between them.
#include "engine/peers.h"

#include <stdio.h>

#include "meta/controller.h"

enum rc peer_hello_encode(const struct peer_hello *h, struct arena *a, struct hello_request *out)
{
    hello_request_init(out);
    out->cluster_id = h->cluster_id[0] ? bytes_str(h->cluster_id) : (struct bytes){0};
    out->node = h->node;
    out->directory = h->directory;
    out->incarnation = h->incarnation;
    out->broker_epoch = h->broker_epoch;
    out->standing = (int8_t)h->standing;
    out->purpose = (int8_t)h->purpose;
    out->wall_ms = h->wall_ms;
    out->peer_port = h->listens.port;
    if (!io_addr_is_any(&h->listens))
        out->peer_ip = bytes_of(h->listens.ip, sizeof(h->listens.ip));
    out->peers = arena_array(a, h->peer_count, sizeof(*out->peers));
    out->messages = arena_array(a, ARRAY_COUNT(peer_requests), sizeof(*out->messages));
    out->features = arena_array(a, 1, sizeof(*out->features));
    if (!out->peers || !out->messages || !out->features)
        return RC_NOMEM;
    out->peers_count = h->peer_count;
    if (h->peer_count)
        memcpy(out->peers, h->peers, h->peer_count * sizeof(h->peers[0]));
    for (size_t i = 0; i < ARRAY_COUNT(peer_requests); i++)
        out->messages[out->messages_count++] = (struct hello_request_message){.key = peer_requests[i]->key,
                                                                              .min = peer_requests[i]->version_min,
                                                                              .max = peer_requests[i]->version_max};
    out->features[out->features_count++] = (struct hello_request_feature){
        .name = bytes_str(FEATURE_METADATA_VERSION), .min = METADATA_VERSION_MIN, .max = METADATA_VERSION_MAX};
    return RC_OK;
}

enum rc peers_known_encode(const struct peers *p, struct arena *a, struct hello_request *out)
{
    out->known = arena_array(a, p->count, sizeof(*out->known));
    if (!out->known && p->count)
        return RC_NOMEM;
    for (uint32_t i = 0; i < p->count; i++) {
        const struct peer *peer = &p->table[i];
        if (!peer->in_use || peer->state != PEER_UP || peer->hello.standing != PEER_FORMED)
            continue;
        struct hello_request_member *m = &out->known[out->known_count++];
        hello_request_member_init(m);
        m->node = peer->node;
        m->ip = bytes_of(peer->addr.ip, sizeof(peer->addr.ip));
        m->port = peer->addr.port;
    }
    return RC_OK;
}

// Hearsay serves where nobody knows better: of a node that is unknown, or that --peers alone places and that is not there.
static bool wants_address(const struct peer *peer)
{
    return !peer || (peer->state != PEER_UP && peer->sources == 1u << PEER_CONFIGURED);
}

void peers_known_take(struct peers *p, const struct peer_frame *f)
{
    struct arena a;
    arena_init(&a, 1 << 20, NULL, 0);
    struct hello_request in;
    struct dec d = dec_of(f->body);
    enum rc rc = hello_request_decode(&d, f->version, &a, &in);
    for (uint32_t i = 0; rc == RC_OK && i < in.known_count; i++) {
        const struct hello_request_member *m = &in.known[i];
        struct io_addr addr = {.port = m->port};
        if (m->node < 0 || m->ip.n != sizeof(addr.ip) || !wants_address(peers_find(p, m->node)))
            continue;
        memcpy(addr.ip, m->ip.p, sizeof(addr.ip));
        rc = peers_learn(p, m->node, PEER_TOLD, &addr);
    }
    arena_deinit(&a);
}

// Every message this program sends must be one the other side reads in that version.
static bool speaks(const struct hello_request *in)
{
    for (size_t i = 0; i < ARRAY_COUNT(peer_requests); i++) {
        bool found = false;
        for (uint32_t k = 0; k < in->messages_count && !found; k++)
            found = in->messages[k].key == peer_requests[i]->key && in->messages[k].min <= peer_requests[i]->version_max &&
                    in->messages[k].max >= peer_requests[i]->version_max;
        if (!found)
            return false;
    }
    return true;
}

static enum rc take(const struct hello_request *in, struct peer_hello *out)
{
    *out = (struct peer_hello){.node = in->node,
                               .directory = in->directory,
                               .incarnation = in->incarnation,
                               .broker_epoch = in->broker_epoch,
                               .standing = (enum peer_standing)in->standing,
                               .purpose = (enum peer_purpose)in->purpose,
                               .listens.port = in->peer_port,
                               .wall_ms = in->wall_ms};
    if (in->node < 0 || in->standing < PEER_EMPTY || in->standing > PEER_FORMED || in->purpose < PEER_TALKS ||
        in->purpose > PEER_FETCHES ||
        in->cluster_id.n >= sizeof(out->cluster_id) || in->peers_count > PEERS_MAX)
        return RC_MALFORMED;
    if (in->peer_ip.n == sizeof(out->listens.ip))
        memcpy(out->listens.ip, in->peer_ip.p, sizeof(out->listens.ip));
    if (in->cluster_id.p)
        memcpy(out->cluster_id, in->cluster_id.p, in->cluster_id.n);
    if (memchr(out->cluster_id, 0, in->cluster_id.n) || (in->standing != PEER_EMPTY && in->cluster_id.n == 0))
        return RC_MALFORMED;
    for (uint32_t i = 0; i < in->peers_count; i++) {
        if (in->peers[i] < 0 || (i > 0 && in->peers[i] <= in->peers[i - 1]))
            return RC_MALFORMED;
        out->peers[out->peer_count++] = in->peers[i];
    }
    return speaks(in) ? RC_OK : RC_UNSUPPORTED_VERSION;
}

enum rc peer_hello_decode(const struct peer_frame *f, struct peer_hello *out)
{
    struct arena a;
    arena_init(&a, 1 << 20, NULL, 0);
    struct hello_request in;
    struct dec d = dec_of(f->body);
    enum rc rc = hello_request_decode(&d, f->version, &a, &in);
    if (rc == RC_OK)
        rc = take(&in, out);
    arena_deinit(&a);
    return rc;
}
