// SPDX-License-Identifier: Apache-2.0
//
// AlterConfigs and IncrementalAlterConfigs of topics and brokers: decided by the controller.
#include "broker/admin_op.h"
#include "broker/api.h"
#include "model/kerr.h"
#include "wire/messages.h"

enum { ALTER_TIMEOUT_MS = 30000 }; // the requests name none

static bool alter_configs_fail(struct admin_op *op, enum rc rc)
{
    const struct alter_configs_request *in = op->in;
    struct alter_configs_response *out = op->answer;
    alter_configs_response_init(out);
    out->responses = arena_array(&op->rq->arena, in->resources_count, sizeof(*out->responses));
    for (uint32_t i = 0; out->responses && i < in->resources_count; i++) {
        struct alter_configs_response_response *r = &out->responses[out->responses_count++];
        alter_configs_response_response_init(r);
        r->error_code = kerr_of(rc);
        r->error_message = bytes_str(rc_text(rc));
        r->resource_type = in->resources[i].resource_type;
        r->resource_name = in->resources[i].resource_name;
    }
    return out->responses;
}

void api_alter_configs_begin(struct request *rq, const void *message)
{
    const struct alter_configs_request *in = message;
    admin_submit(rq, message,
                 &(struct admin_plan){.kind = CONTROLLER_ALTER_CONFIGS,
                                      .timeout_ms = ALTER_TIMEOUT_MS,
                                      .item_count = in->resources_count,
                                      .fail = alter_configs_fail});
}

static bool incremental_alter_configs_fail(struct admin_op *op, enum rc rc)
{
    const struct incremental_alter_configs_request *in = op->in;
    struct incremental_alter_configs_response *out = op->answer;
    incremental_alter_configs_response_init(out);
    out->responses = arena_array(&op->rq->arena, in->resources_count, sizeof(*out->responses));
    for (uint32_t i = 0; out->responses && i < in->resources_count; i++) {
        struct incremental_alter_configs_response_response *r = &out->responses[out->responses_count++];
        incremental_alter_configs_response_response_init(r);
        r->error_code = kerr_of(rc);
        r->error_message = bytes_str(rc_text(rc));
        r->resource_type = in->resources[i].resource_type;
        r->resource_name = in->resources[i].resource_name;
    }
    return out->responses;
}

void api_incremental_alter_configs_begin(struct request *rq, const void *message)
{
    const struct incremental_alter_configs_request *in = message;
    admin_submit(rq, message,
                 &(struct admin_plan){.kind = CONTROLLER_INCREMENTAL_ALTER_CONFIGS,
                                      .timeout_ms = ALTER_TIMEOUT_MS,
                                      .item_count = in->resources_count,
                                      .fail = incremental_alter_configs_fail});
}
