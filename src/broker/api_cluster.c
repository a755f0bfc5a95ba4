// SPDX-License-Identifier: Apache-2.0
//
// DescribeCluster (KIP-700): the brokers as this listener's clients reach them, out of the image.
#include "broker/api.h"
#include "broker/cluster_view.h"
#include "model/kerr.h"
#include "wire/messages.h"

enum endpoint_type { ENDPOINT_BROKER = 1, ENDPOINT_CONTROLLER = 2 };

// A client listener is an endpoint of brokers; whoever means controllers is told so (KIP-919).
static enum rc describe_cluster_endpoint(struct request *rq, int8_t asked, struct describe_cluster_response *out)
{
    if (asked == ENDPOINT_BROKER)
        return RC_OK;
    char *text;
    enum rc rc;
    if (asked == ENDPOINT_CONTROLLER) {
        rc = RC_MISMATCHED_ENDPOINT_TYPE;
        text = arena_printf(&rq->arena, "The request was sent to an endpoint of type BROKER, but we wanted an endpoint "
                                        "of type CONTROLLER");
    } else {
        rc = RC_UNSUPPORTED_ENDPOINT_TYPE;
        text = arena_printf(&rq->arena, "Unsupported endpoint type %d", asked);
    }
    out->error_code = kerr_of(rc);
    if (text)
        out->error_message = bytes_str(text);
    return rc;
}

void api_describe_cluster_begin(struct request *rq, const void *message)
{
    const struct describe_cluster_request *in = message;
    struct describe_cluster_response out;
    describe_cluster_response_init(&out);
    if (describe_cluster_endpoint(rq, rq->version >= 1 ? in->endpoint_type : ENDPOINT_BROKER, &out) != RC_OK) {
        request_answer(rq, &out);
        return;
    }
    struct cluster_view view = cluster_view_of(rq);
    out.cluster_id = view.cluster_id;
    out.controller_id = view.controller;
    if (in->include_cluster_authorized_operations)
        out.cluster_authorized_operations = CLUSTER_OPERATIONS_OF_CLUSTER;
    out.brokers = arena_array(&rq->arena, view.image->node_count, sizeof(*out.brokers));
    if (!out.brokers) {
        api_fail_memory(rq);
        return;
    }
    const struct quorum *q = rq->bs->engine->engine->quorum;
    for (uint32_t i = 0; i < view.image->node_count; i++) {
        const struct image_node *n = view.image->nodes[i];
        const struct image_listener *l = image_listener(n, view.listener);
        if (!l || (n->fenced && !in->include_fenced_brokers))
            continue;
        struct describe_cluster_response_broker *b = &out.brokers[out.brokers_count++];
        describe_cluster_response_broker_init(b);
        b->broker_id = n->id;
        b->host = bytes_str(l->host);
        b->port = l->port;
        b->rack = n->rack ? bytes_str(n->rack) : bytes_of(NULL, 0);
        b->is_fenced = n->fenced;
        if (in->details) {
            b->clock_ahead_ms = quorum_clock_ahead_ms(q, n->id);
            b->in_shutdown = n->in_shutdown;
        }
    }
    request_answer(rq, &out);
}
