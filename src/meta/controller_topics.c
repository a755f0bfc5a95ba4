// SPDX-License-Identifier: Apache-2.0
//
// Creating and deleting topics. Every topic of a request succeeds or fails by itself; sentences are Kafka's.
#include "meta/controller_core.h"

#include "model/kerr.h"

#define METADATA_TOPIC_NAME "__cluster_metadata"

static struct decision_error check_name(struct decision *d, struct bytes name)
{
    const char *text = decision_string(d, name);
    if (bytes_eq(name, bytes_str(METADATA_TOPIC_NAME)))
        return DECISION_FAIL(d, RC_INVALID_REQUEST, "Creation of internal topic %s is prohibited.",
                             METADATA_TOPIC_NAME);
    if (name.n == 0)
        return DECISION_FAIL(d, RC_INVALID_TOPIC, "Topic name is invalid: the empty string is not allowed");
    if (bytes_eq(name, bytes_str(".")) || bytes_eq(name, bytes_str("..")))
        return DECISION_FAIL(d, RC_INVALID_TOPIC, "Topic name is invalid: '%s' is not allowed", text);
    if (name.n > TOPIC_NAME_BYTES_MAX)
        return DECISION_FAIL(d, RC_INVALID_TOPIC,
                             "Topic name is invalid: the length of '%.300s' is longer than the max allowed length %d",
                             text, TOPIC_NAME_BYTES_MAX);
    if (!topic_name_valid(name))
        return DECISION_FAIL(d, RC_INVALID_TOPIC,
                             "Topic name is invalid: '%s' contains one or more characters other than ASCII "
                             "alphanumerics, '.', '_' and '-'",
                             text);
    if (image_topic_by_name(d->view, name))
        return DECISION_FAIL(d, RC_TOPIC_ALREADY_EXISTS, "Topic '%s' already exists.", text);
    const struct image_topic *other = image_topic_colliding(d->view, name);
    if (other)
        return DECISION_FAIL(d, RC_INVALID_TOPIC, "Topic '%s' collides with existing topic: %s", text, other->name);
    return (struct decision_error){0};
}

// What a topic will be made of.
struct plan {
    uint32_t partitions, factor;
    int32_t *replicas; // [partitions * factor]
    struct config_layer configs;
};

static struct decision_error plan_manual(struct decision *d, const struct create_topics_request_topic *in,
                                         struct plan *plan)
{
    if (in->replication_factor != -1)
        return DECISION_FAIL(d, RC_INVALID_REQUEST,
                             "A manual partition assignment was specified, but replication factor was not set to -1.");
    if (in->num_partitions != -1)
        return DECISION_FAIL(d, RC_INVALID_REQUEST,
                             "A manual partition assignment was specified, but numPartitions was not set to -1.");
    plan->partitions = in->assignments_count;
    plan->factor = in->assignments[0].broker_ids_count;
    bool *seen = decision_array(d, plan->partitions, sizeof(*seen));
    plan->replicas = decision_array(d, (size_t)plan->partitions * plan->factor, sizeof(int32_t));
    if (d->rc != RC_OK)
        return (struct decision_error){0};
    for (uint32_t i = 0; i < plan->partitions; i++) {
        const struct create_topics_request_assignment *a = &in->assignments[i];
        if (a->partition_index < 0 || (uint32_t)a->partition_index >= plan->partitions)
            return DECISION_FAIL(d, RC_INVALID_REPLICA_ASSIGNMENT,
                                 "partitions should be a consecutive 0-based integer sequence");
        if (seen[a->partition_index])
            return DECISION_FAIL(d, RC_INVALID_REPLICA_ASSIGNMENT,
                                 "Found multiple manual partition assignments for partition %d", a->partition_index);
        seen[a->partition_index] = true;
        struct decision_error e =
            decide_check_replicas(d, a->broker_ids, a->broker_ids_count, i == 0 ? 0 : plan->factor);
        if (e.rc != RC_OK)
            return e;
        memcpy(plan->replicas + (size_t)a->partition_index * plan->factor, a->broker_ids,
               plan->factor * sizeof(int32_t));
    }
    return (struct decision_error){0};
}

static struct decision_error plan_placed(struct decision *d, const struct create_topics_request_topic *in,
                                         struct plan *plan)
{
    struct config_layers l = image_layers(d->view, NULL, d->env->self, d->env->properties);
    int64_t factor =
        in->replication_factor == -1 ? config_broker_int(&l, "default.replication.factor", 1) : in->replication_factor;
    int64_t partitions = in->num_partitions == -1 ? config_broker_int(&l, "num.partitions", 1) : in->num_partitions;
    if (factor <= 0)
        return DECISION_FAIL(d, RC_INVALID_REPLICATION_FACTOR,
                             "Replication factor must be larger than 0, or -1 to use the default value.");
    if (partitions <= 0)
        return DECISION_FAIL(d, RC_INVALID_PARTITIONS,
                             "Number of partitions was set to an invalid non-positive value.");
    if (partitions > PARTITIONS_PER_TOPIC_MAX)
        return DECISION_FAIL(d, RC_INVALID_PARTITIONS, "A topic may have at most %d partitions.",
                             PARTITIONS_PER_TOPIC_MAX);
    plan->partitions = (uint32_t)partitions;
    plan->factor = (uint32_t)factor;
    return decide_place(d, plan->partitions, plan->factor, &plan->replicas);
}

static struct decision_error plan_topic(struct decision *d, const struct create_topics_request_topic *in,
                                        struct plan *plan)
{
    struct decision_error e = check_name(d, in->name);
    if (e.rc != RC_OK || d->rc != RC_OK)
        return e;
    struct decision_pair *pairs = decision_array(d, in->configs_count, sizeof(*pairs));
    for (uint32_t i = 0; pairs && i < in->configs_count; i++)
        pairs[i] = (struct decision_pair){in->configs[i].name, in->configs[i].value};
    if (!pairs)
        return e;
    e = decide_topic_overrides(d, pairs, in->configs_count, &plan->configs);
    if (e.rc != RC_OK || d->rc != RC_OK)
        return e;
    return in->assignments_count ? plan_manual(d, in, plan) : plan_placed(d, in, plan);
}

// The settings of the topic in force, as CreateTopics shows them (KIP-525).
static void show_configs(struct decision *d, struct config_layer overrides, struct create_topics_response_topic *out)
{
    size_t count;
    const struct config_key *keys = config_keys(CONFIG_TOPIC, &count);
    struct config_layers l = image_layers(d->view, NULL, d->env->self, d->env->properties);
    l.topic = overrides;
    // Topics without settings of their own show the same list: a request of thousands builds it once.
    const struct create_topics_response_topic *plain = d->progress->plain;
    if (overrides.count == 0 && plain) {
        out->configs = plain->configs;
        out->configs_count = plain->configs_count;
        return;
    }
    if (overrides.count == 0)
        d->progress->plain = out;
    out->configs = decision_array(d, count, sizeof(*out->configs));
    for (size_t i = 0; out->configs && i < count; i++) {
        if (keys[i].effect == CONFIG_LATER)
            continue;
        struct config_value v = config_resolve(CONFIG_TOPIC, &keys[i], &l);
        char scratch[24];
        const char *text = config_value_text(&v, scratch, sizeof(scratch));
        struct create_topics_response_config *c = &out->configs[out->configs_count++];
        c->name = bytes_str(keys[i].name);
        c->value = text ? bytes_str(decision_string(d, bytes_str(text))) : (struct bytes){0};
        c->config_source = (int8_t)v.source;
        c->is_sensitive = config_sensitive(&keys[i]);
    }
}

static void create_topic(struct decision *d, const struct plan *plan, struct bytes name, struct uuid *id)
{
    do {
        d->env->new_uuid(d->env->context, id);
    } while (uuid_is_reserved(*id) || image_topic_by_id(d->view, *id));
    struct topic_record r = {.name = name, .topic_id = *id};
    decision_add(d, &topic_record_message, &r);
    for (size_t i = 0; i < plan->configs.count; i++) {
        struct config_record c = {.resource_type = CONFIG_RESOURCE_TOPIC,
                                  .resource_name = name,
                                  .name = bytes_str(plan->configs.pairs[i].name),
                                  .value = bytes_str(plan->configs.pairs[i].value)};
        decision_add(d, &config_record_message, &c);
    }
    decide_add_partitions(d, *id, 0, plan->partitions, plan->factor, plan->replicas); // last: it may take several turns
}

// No less than the records of a topic take.
static size_t plan_bytes(const struct plan *plan, struct bytes name)
{
    size_t bytes = 128 + name.n + (size_t)plan->partitions * (16 + (size_t)plan->factor * 24);
    for (size_t i = 0; i < plan->configs.count; i++)
        bytes += 64 + name.n + strlen(plan->configs.pairs[i].name) + strlen(plan->configs.pairs[i].value);
    return bytes;
}

// One topic of the request into *t. False: it is left for the next batch.
static bool create_one(struct decision *d, const struct create_topics_request_topic *in, bool twice,
                       struct create_topics_response_topic *t)
{
    struct plan plan = {0};
    struct decision_error e =
        twice ? DECISION_FAIL(d, RC_INVALID_REQUEST, "Duplicate topic name.") : plan_topic(d, in, &plan);
    if (e.rc == RC_OK && d->rc == RC_OK) {
        bool never;
        uint32_t work = 1 + plan.partitions / CONTROLLER_WORK_PARTITIONS;
        if (!decision_fits(d, work, plan_bytes(&plan, in->name), &never) && !never)
            return false;
        if (never)
            e = DECISION_FAIL(d, RC_POLICY_VIOLATION,
                              "A topic of this size cannot be created at once; create it smaller and add partitions.");
    }
    create_topics_response_topic_init(t);
    t->name = in->name;
    t->error_code = kerr_of(e.rc);
    t->error_message = e.text;
    if (e.rc != RC_OK || d->rc != RC_OK)
        return true;
    t->num_partitions = (int32_t)plan.partitions;
    t->replication_factor = (int16_t)plan.factor;
    show_configs(d, plan.configs, t);
    create_topic(d, &plan, in->name, &t->topic_id);
    if (d->dry)
        t->topic_id = (struct uuid){0};
    return true;
}

void decide_create_topics(struct decision *d, const struct create_topics_request *in,
                          struct create_topics_response *out)
{
    d->dry = in->validate_only;
    if (d->progress->done == 0) {
        create_topics_response_init(out);
        out->topics = decision_array(d, in->topics_count, sizeof(*out->topics));
        struct bytes *names = decision_array(d, in->topics_count, sizeof(*names));
        for (uint32_t i = 0; names && i < in->topics_count; i++)
            names[i] = in->topics[i].name;
        d->progress->twice = names ? decision_duplicates(d, names, in->topics_count) : NULL;
    }
    uint32_t i = d->progress->done;
    while (d->rc == RC_OK && !d->unfinished && i < in->topics_count &&
           create_one(d, &in->topics[i], d->progress->twice[i], &out->topics[i]))
        i++;
    if (d->rc == RC_OK)
        out->topics_count = d->progress->done = i;
}

// ---- delete ----

static bool deletion_enabled(const struct decision *d)
{
    struct config_layers l = image_layers(d->view, NULL, d->env->self, d->env->properties);
    return config_broker_bool(&l, "delete.topic.enable");
}

// topic_name or topic_id, as asked for.
static struct decision_error delete_one(struct decision *d, struct bytes name, struct uuid id,
                                        struct delete_topics_response_response *out)
{
    bool by_id = !uuid_is_zero(id);
    out->name = name;
    out->topic_id = id;
    if (by_id && name.p)
        return DECISION_FAIL(d, RC_INVALID_REQUEST, "You may not specify both topic name and topic id.");
    if (!by_id && !name.p)
        return DECISION_FAIL(d, RC_INVALID_REQUEST, "Neither topic name nor id were specified.");
    if (!deletion_enabled(d))
        return DECISION_FAIL(d, RC_TOPIC_DELETION_DISABLED, "Topic deletion is disabled (delete.topic.enable=false).");
    const struct image_topic *t = by_id ? image_topic_by_id(d->view, id) : image_topic_by_name(d->view, name);
    if (!t)
        return by_id
                   ? DECISION_FAIL(d, RC_UNKNOWN_TOPIC_ID, "This server does not host this topic ID.")
                   : DECISION_FAIL(d, RC_UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition.");
    out->topic_id = t->id;
    out->name = decision_text(d, "%s", t->name);
    struct topic_deleted_record r = {.topic_id = t->id};
    decision_add(d, &topic_deleted_record_message, &r);
    return (struct decision_error){0};
}

void decide_delete_topics(struct decision *d, const struct delete_topics_request *in,
                          struct delete_topics_response *out)
{
    uint32_t count = in->topics_count + in->topic_names_count;
    if (d->progress->done == 0) {
        delete_topics_response_init(out);
        out->responses = decision_array(d, count, sizeof(*out->responses));
    }
    // A topic that stands there twice is gone when its second turn comes, and says so, as in Kafka.
    uint32_t i = d->progress->done;
    bool never;
    for (; d->rc == RC_OK && i < count && decision_fits(d, 1, 64, &never); i++) {
        struct delete_topics_response_response *r = &out->responses[i];
        delete_topics_response_response_init(r);
        struct decision_error e = i < in->topics_count
                                      ? delete_one(d, in->topics[i].name, in->topics[i].topic_id, r)
                                      : delete_one(d, in->topic_names[i - in->topics_count], (struct uuid){0}, r);
        r->error_code = kerr_of(e.rc);
        r->error_message = e.text;
    }
    if (d->rc == RC_OK)
        out->responses_count = d->progress->done = i;
}
