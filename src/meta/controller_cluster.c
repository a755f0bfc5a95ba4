// SPDX-License-Identifier: Apache-2.0
//
// Decisions about the cluster as a whole: nodes that are forgotten, and the levels of features.
#include "meta/controller_core.h"

#include "model/kerr.h"

static int32_t voter_at(const struct decision *d, uint32_t i)
{
    return d->env->voter ? d->env->voter(d->env->context, i) : NODE_ID_NONE;
}

static bool votes(const struct decision *d, int32_t node)
{
    uint32_t i = 0;
    while (voter_at(d, i) != NODE_ID_NONE && voter_at(d, i) != node)
        i++;
    return voter_at(d, i) == node;
}

// ---- UnregisterBroker ----

static struct decision_error unregister_judge(struct decision *d, int32_t id)
{
    const struct image_node *n = id >= 0 ? image_node(d->view, id) : NULL;
    const enum rc bad = RC_INVALID_REQUEST;
    if (!n)
        return DECISION_FAIL(d, RC_BROKER_ID_NOT_REGISTERED, "Broker ID %d is not currently registered.", id);
    if (d->view->node_count == 1)
        return DECISION_FAIL(d, bad, "Node %d is the last one of the cluster.", id);
    if (!n->fenced)
        return DECISION_FAIL(d, bad, "Node %d is alive; stop it first.", id);
    uint32_t replicas = image_share_of(d->view, id).replicas;
    if (replicas > 0)
        return DECISION_FAIL(d, bad,
                             "Node %d still holds replicas of %u partition(s); move them to other nodes first "
                             "(AlterPartitionReassignments).",
                             id, replicas);
    if (votes(d, id))
        return DECISION_FAIL(d, bad, "Node %d still votes on metadata; take its vote first (RemoveRaftVoter).", id);
    return (struct decision_error){0};
}

void decide_unregister(struct decision *d, const struct unregister_broker_request *in,
                       struct unregister_broker_response *out)
{
    unregister_broker_response_init(out);
    struct decision_error e = unregister_judge(d, in->broker_id);
    out->error_code = kerr_of(e.rc);
    out->error_message = e.text;
    if (e.rc != RC_OK || d->rc != RC_OK)
        return;
    struct unregistered_record r = {.node = in->broker_id};
    decision_add(d, &unregistered_record_message, &r);
}

// ---- UpdateFeatures ----

enum { UPGRADE = 1, SAFE_DOWNGRADE = 2, UNSAFE_DOWNGRADE = 3 };

static const struct image_feature_range *range_of(const struct image_node *n, const char *feature)
{
    for (uint32_t i = 0; i < n->feature_count; i++)
        if (strcmp(n->features[i].name, feature) == 0)
            return &n->features[i];
    return NULL;
}

static struct decision_error update_bad(struct decision *d, const char *feature, int16_t level, const char *why)
{
    return DECISION_FAIL(d, RC_INVALID_UPDATE_VERSION, "Invalid update version %d for feature %s. %s", level, feature, why);
}

// Does every node that is registered, and every voter, support it?
static struct decision_error supported(struct decision *d, const char *feature, int16_t level)
{
    for (uint32_t i = 0; i < d->view->node_count; i++) {
        const struct image_node *n = d->view->nodes[i];
        const struct image_feature_range *r = range_of(n, feature);
        if (!r || level < r->min || level > r->max)
            return update_bad(d, feature, level,
                              decision_string(d, decision_text(d, "Broker %d only supports versions %d-%d.", n->id,
                                                               r ? r->min : 0, r ? r->max : 0)));
    }
    for (uint32_t i = 0; voter_at(d, i) != NODE_ID_NONE; i++)
        if (!image_node(d->view, voter_at(d, i)))
            return update_bad(d, feature, level,
                              decision_string(d, decision_text(d,
                                                               "Controller %d has not registered, and may not support "
                                                               "this feature.",
                                                               voter_at(d, i))));
    return (struct decision_error){0};
}

// The new group protocol is on or off by a setting of each node, here the controller's. Asking for what is so already is no
// error: scripts do, after an upgrade.
static struct decision_error update_group_version(struct decision *d, int16_t level)
{
    struct config_layers l = image_layers(d->view, NULL, d->env->self, d->env->properties);
    const char *protocols = config_broker_text(&l, "group.coordinator.rebalance.protocols");
    const int16_t now = config_list_has(protocols, "consumer") ? GROUP_VERSION_MAX : 0;
    if (level < 0 || level > GROUP_VERSION_MAX)
        return update_bad(d, FEATURE_GROUP_VERSION, level,
                          decision_string(d, decision_text(d, "Local controller %d only supports versions %d-%d.",
                                                           d->env->self, 0, GROUP_VERSION_MAX)));
    if (level == now)
        return (struct decision_error){0};
    return update_bad(d, FEATURE_GROUP_VERSION, level,
                      "It follows group.coordinator.rebalance.protocols of each node.");
}

static struct decision_error update_one(struct decision *d, const struct update_features_request_feature_update *in)
{
    const char *feature = decision_string(d, in->feature);
    int16_t level = in->max_version_level, now = image_feature_level(d->view, feature);
    if (strcmp(feature, FEATURE_GROUP_VERSION) == 0)
        return update_group_version(d, level);
    if (strcmp(feature, FEATURE_METADATA_VERSION) != 0)
        return update_bad(d, feature, level, "This cluster does not have that feature.");
    if (in->upgrade_type < UPGRADE || in->upgrade_type > UNSAFE_DOWNGRADE)
        return update_bad(d, feature, level, "The controller does not support the given upgrade type.");
    if (level < METADATA_VERSION_MIN || level > METADATA_VERSION_MAX)
        return update_bad(d, feature, level,
                          decision_string(d, decision_text(d, "Local controller %d only supports versions %d-%d.",
                                                           d->env->self, METADATA_VERSION_MIN, METADATA_VERSION_MAX)));
    struct decision_error e = supported(d, feature, level);
    if (e.rc != RC_OK)
        return e;
    if (level < now && in->upgrade_type == UPGRADE)
        return update_bad(d, feature, level,
                          "Can't downgrade the version of this feature without setting the upgrade type to either safe "
                          "or unsafe downgrade.");
    if (level > now && in->upgrade_type != UPGRADE)
        return update_bad(d, feature, level, "Can't downgrade to a newer version.");
    if (level < now && feature_metadata_changed(level, now))
        return DECISION_FAIL(d, RC_INVALID_UPDATE_VERSION, "Invalid metadata.version %d. %s", level,
                             in->upgrade_type == UNSAFE_DOWNGRADE
                                 ? "Unsafe metadata downgrade is not supported in this version."
                                 : "Refusing to perform the requested downgrade because it might delete metadata "
                                   "information.");
    if (level == now)
        return e;
    trace_warn(d->env->trace, "metadata.version goes from %s to %s", feature_metadata_name(now),
               feature_metadata_name(level));
    struct feature_record r = {.name = bytes_str(FEATURE_METADATA_VERSION), .level = level};
    decision_add(d, &feature_record_message, &r);
    return e;
}

// All of them or none.
void decide_update_features(struct decision *d, const struct update_features_request *in,
                            struct update_features_response *out)
{
    update_features_response_init(out);
    struct decision_error e = {0};
    for (uint32_t i = 0; i < in->feature_updates_count && e.rc == RC_OK; i++) {
        for (uint32_t k = 0; k < i && e.rc == RC_OK; k++)
            if (bytes_eq(in->feature_updates[i].feature, in->feature_updates[k].feature))
                e = DECISION_FAIL(d, RC_INVALID_REQUEST, "A feature stands there more than once.");
        if (e.rc == RC_OK)
            e = update_one(d, &in->feature_updates[i]);
    }
    d->dry = in->validate_only || e.rc != RC_OK;
    out->error_code = kerr_of(e.rc);
    out->error_message = e.text;
}
