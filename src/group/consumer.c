// SPDX-License-Identifier: Apache-2.0
//
// Groups of the new protocol (KIP-848): not spoken yet. Heartbeats are refused, records of such groups are skipped.
#include "group/core.h"

void consumer_call(struct groups *g, struct group *gr, struct group_call *call)
{
    (void)gr;
    group_answer_error(g, call, RC_UNSUPPORTED_VERSION, NULL);
}

void consumer_topic_changed(struct group *gr, struct bytes name, struct uuid id, bool deleted)
{
    (void)gr;
    (void)name;
    (void)id;
    (void)deleted;
}

enum rc consumer_apply(struct groups *g, int16_t key_version, struct bytes key, struct bytes value)
{
    (void)g;
    (void)key_version;
    (void)key;
    (void)value;
    return RC_UNSUPPORTED;
}

void consumer_loaded(struct group *gr)
{
    ASSERT(gr->type != GROUP_CONSUMER);
}

void consumer_free(struct group *gr)
{
    ASSERT(gr->consumer == NULL);
}

void consumer_stop(struct group *gr, enum rc rc)
{
    (void)rc;
    ASSERT(gr->type != GROUP_CONSUMER);
}

enum rc consumer_snapshot(const struct group *gr, struct buf *out)
{
    (void)out;
    ASSERT(gr->type != GROUP_CONSUMER);
    return RC_OK;
}

enum rc consumer_commit_allowed(struct group *gr, const struct group_call *call, const struct offset_commit_request *in)
{
    (void)gr;
    (void)call;
    (void)in;
    return RC_UNKNOWN_MEMBER_ID;
}

enum rc consumer_fetch_allowed(struct group *gr, struct bytes member_id, int32_t member_epoch)
{
    (void)gr;
    (void)member_id;
    (void)member_epoch;
    return RC_UNKNOWN_MEMBER_ID;
}

uint32_t consumer_member_count(const struct group *gr)
{
    (void)gr;
    return 0;
}

bool consumer_subscribes(const struct group *gr, struct bytes topic)
{
    (void)gr;
    (void)topic;
    return false;
}

const char *consumer_state_name(const struct group *gr)
{
    (void)gr;
    return "Empty";
}

bool consumer_describe(struct group *gr, struct group_call *call, struct consumer_group_describe_response_group *out)
{
    (void)gr;
    (void)call;
    (void)out;
    return true;
}

void consumer_add_tombstones(struct group_append *a, const struct group *gr)
{
    (void)a;
    (void)gr;
}
