// SPDX-License-Identifier: Apache-2.0
//
// APIs that are answered as Kafka answers them while the feature is off: SASL on a
// listener without it, ACLs without an authorizer. Clients look for these in ApiVersions and treat the answers as facts
// about this cluster, not as failures of the broker.
#include "broker/api.h"
#include "model/kerr.h"
#include "wire/messages.h"

static const char NO_AUTHORIZER[] = "No Authorizer is configured.";

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
