// SPDX-License-Identifier: Apache-2.0
//
// Who is in a group of the new protocol: by id, by instance id, one after the other; and its expressions.
#include "group/consumer.h"

static bool member_eq(const struct map_node *n, const void *key)
{
    return bytes_eq(consumer_member_id(container_of(n, struct consumer_member, by_id)), *(const struct bytes *)key);
}

static bool instance_eq(const struct map_node *n, const void *key)
{
    const struct consumer_member *m = container_of(n, struct consumer_member, by_instance);
    return bytes_eq(m->sub->instance_id, *(const struct bytes *)key);
}

static bool regex_eq(const struct map_node *n, const void *key)
{
    return bytes_eq(consumer_regex_pattern(container_of(n, struct consumer_regex, node)), *(const struct bytes *)key);
}

struct consumer_member *consumer_member_any(const struct consumer_group *cg, struct bytes id)
{
    struct map_node *n = map_find(&cg->members, map_hash_bytes(id), member_eq, &id);
    return n ? container_of(n, struct consumer_member, by_id) : NULL;
}

struct consumer_member *consumer_member_find(const struct consumer_group *cg, struct bytes id)
{
    struct consumer_member *m = consumer_member_any(cg, id);
    return m && m->sub ? m : NULL;
}

struct consumer_member *consumer_instance_find(const struct consumer_group *cg, struct bytes instance_id)
{
    struct map_node *n = map_find(&cg->instances, map_hash_bytes(instance_id), instance_eq, &instance_id);
    return n ? container_of(n, struct consumer_member, by_instance) : NULL;
}

struct consumer_regex *consumer_regex_find(const struct consumer_group *cg, struct bytes pattern)
{
    struct map_node *n = map_find(&cg->regexes, map_hash_bytes(pattern), regex_eq, &pattern);
    return n ? container_of(n, struct consumer_regex, node) : NULL;
}

static struct consumer_member *with_sub(const struct consumer_group *cg, struct map_node *n)
{
    for (; n; n = map_next(&cg->members, n)) {
        struct consumer_member *m = container_of(n, struct consumer_member, by_id);
        if (m->sub)
            return m;
    }
    return NULL;
}

struct consumer_member *consumer_member_first(const struct consumer_group *cg)
{
    return with_sub(cg, map_first(&cg->members));
}

struct consumer_member *consumer_member_next(const struct consumer_group *cg, const struct consumer_member *m)
{
    return with_sub(cg, map_next(&cg->members, &m->by_id));
}
