// SPDX-License-Identifier: Apache-2.0
//
// APIs that are answered as Kafka answers them while the feature is off: coordinators that are not there, SASL on a
// listener without it, ACLs without an authorizer. Clients look for these in ApiVersions and treat the answers as facts
// about this cluster, not as failures of the broker.
#include "broker/api.h"
#include "model/kerr.h"
#include "wire/messages.h"

enum coordinator_key_type { COORDINATOR_GROUP = 0, COORDINATOR_TRANSACTION = 1, COORDINATOR_SHARE = 2 };
enum { BATCHED_KEYS_VERSION = 4, SHARE_KEYS_VERSION = 6 };

static const char NO_AUTHORIZER[] = "No Authorizer is configured.";

static void find_coordinator_batched(struct request *rq, const struct find_coordinator_request *in, enum rc rc,
                                     const char *text)
{
    struct find_coordinator_response out;
    find_coordinator_response_init(&out);
    out.coordinators = arena_array(&rq->arena, in->coordinator_keys_count, sizeof(*out.coordinators));
    if (!out.coordinators) {
        api_fail_memory(rq);
        return;
    }
    for (uint32_t i = 0; i < in->coordinator_keys_count; i++) {
        struct find_coordinator_response_coordinator *c = &out.coordinators[out.coordinators_count++];
        find_coordinator_response_coordinator_init(c);
        c->key = in->coordinator_keys[i];
        c->node_id = NODE_ID_NONE;
        c->host = bytes_str("");
        c->port = -1;
        c->error_code = kerr_of(rc);
        c->error_message = bytes_str(text);
    }
    request_answer(rq, &out);
}

void api_find_coordinator_begin(struct request *rq, const void *message)
{
    const struct find_coordinator_request *in = message;
    enum rc rc = RC_COORDINATOR_NOT_AVAILABLE;
    const char *text = "The coordinator is not available.";
    int8_t type_max = rq->version >= SHARE_KEYS_VERSION ? COORDINATOR_SHARE : COORDINATOR_TRANSACTION;
    if (in->key_type < COORDINATOR_GROUP || in->key_type > type_max) {
        rc = RC_INVALID_REQUEST;
        text = "Unknown coordinator key type.";
    }
    if (rq->version >= BATCHED_KEYS_VERSION) {
        find_coordinator_batched(rq, in, rc, text);
        return;
    }
    struct find_coordinator_response out;
    find_coordinator_response_init(&out);
    out.error_code = kerr_of(rc);
    out.error_message = bytes_str(text);
    out.node_id = NODE_ID_NONE;
    out.host = bytes_str("");
    out.port = -1;
    request_answer(rq, &out);
}

void api_sasl_handshake_begin(struct request *rq, const void *message)
{
    (void)message;
    struct sasl_handshake_response out;
    sasl_handshake_response_init(&out);
    out.error_code = kerr_of(RC_ILLEGAL_SASL_STATE);
    request_answer(rq, &out);
}

void api_sasl_authenticate_begin(struct request *rq, const void *message)
{
    (void)message;
    struct sasl_authenticate_response out;
    sasl_authenticate_response_init(&out);
    out.error_code = kerr_of(RC_ILLEGAL_SASL_STATE);
    out.error_message = bytes_str("SaslAuthenticate request received after successful authentication");
    request_answer(rq, &out);
}

void api_describe_acls_begin(struct request *rq, const void *message)
{
    (void)message;
    struct describe_acls_response out;
    describe_acls_response_init(&out);
    out.error_code = kerr_of(RC_SECURITY_DISABLED);
    out.error_message = bytes_str(NO_AUTHORIZER);
    request_answer(rq, &out);
}

void api_create_acls_begin(struct request *rq, const void *message)
{
    const struct create_acls_request *in = message;
    struct create_acls_response out;
    create_acls_response_init(&out);
    out.results = arena_array(&rq->arena, in->creations_count, sizeof(*out.results));
    if (!out.results) {
        api_fail_memory(rq);
        return;
    }
    for (uint32_t i = 0; i < in->creations_count; i++) {
        struct create_acls_response_result *r = &out.results[out.results_count++];
        create_acls_response_result_init(r);
        r->error_code = kerr_of(RC_SECURITY_DISABLED);
        r->error_message = bytes_str(NO_AUTHORIZER);
    }
    request_answer(rq, &out);
}

void api_delete_acls_begin(struct request *rq, const void *message)
{
    const struct delete_acls_request *in = message;
    struct delete_acls_response out;
    delete_acls_response_init(&out);
    out.filter_results = arena_array(&rq->arena, in->filters_count, sizeof(*out.filter_results));
    if (!out.filter_results) {
        api_fail_memory(rq);
        return;
    }
    for (uint32_t i = 0; i < in->filters_count; i++) {
        struct delete_acls_response_filter_result *r = &out.filter_results[out.filter_results_count++];
        delete_acls_response_filter_result_init(r);
        r->error_code = kerr_of(RC_SECURITY_DISABLED);
        r->error_message = bytes_str(NO_AUTHORIZER);
    }
    request_answer(rq, &out);
}
