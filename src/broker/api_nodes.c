// SPDX-License-Identifier: Apache-2.0
//
// UnregisterBroker (KIP-631) and UpdateFeatures (KIP-584, KIP-778): decided by the controller.
#include "broker/admin_op.h"
#include "broker/api.h"
#include "model/kerr.h"
#include "wire/messages.h"

enum { UNREGISTER_WAIT_MS = 15000, UPGRADE_TYPE_VERSION = 1, NO_RESULTS_VERSION = 2, UPGRADE = 1, SAFE_DOWNGRADE = 2 };

static bool unregister_fail(struct admin_op *op, enum rc rc)
{
    struct unregister_broker_response *out = op->answer;
    unregister_broker_response_init(out);
    out->error_code = kerr_of(rc);
    out->error_message = bytes_str(rc_text(rc));
    return true;
}

void api_unregister_broker_begin(struct request *rq, const void *message)
{
    admin_submit(rq, message,
                 &(struct admin_plan){.kind = CONTROLLER_UNREGISTER,
                                      .timeout_ms = UNREGISTER_WAIT_MS,
                                      .item_count = 1,
                                      .fail = unregister_fail});
}

static bool update_features_fail(struct admin_op *op, enum rc rc)
{
    struct update_features_response *out = op->answer;
    update_features_response_init(out);
    out->error_code = kerr_of(rc);
    out->error_message = bytes_str(rc_text(rc));
    return true;
}

// Before version 2 each feature has an answer of its own: all have the same, for it is all or none.
static void update_features_adapt(struct admin_op *op)
{
    const struct update_features_request *in = op->in;
    struct update_features_response *out = op->answer;
    if (op->rq->version >= NO_RESULTS_VERSION)
        return;
    out->results = arena_array(&op->rq->arena, in->feature_updates_count, sizeof(*out->results));
    for (uint32_t i = 0; out->results && i < in->feature_updates_count; i++)
        out->results[out->results_count++] = (struct update_features_response_result){
            .feature = in->feature_updates[i].feature,
            .error_code = out->error_code,
            .error_message = out->error_message};
}

void api_update_features_begin(struct request *rq, const void *message)
{
    const struct update_features_request *in = message;
    for (uint32_t i = 0; rq->version < UPGRADE_TYPE_VERSION && i < in->feature_updates_count; i++)
        in->feature_updates[i].upgrade_type = in->feature_updates[i].allow_downgrade ? SAFE_DOWNGRADE : UPGRADE;
    admin_submit(rq, message,
                 &(struct admin_plan){.kind = CONTROLLER_UPDATE_FEATURES,
                                      .timeout_ms = in->timeout_ms,
                                      .item_count = in->feature_updates_count,
                                      .fail = update_features_fail,
                                      .adapt = update_features_adapt});
}
