// SPDX-License-Identifier: Apache-2.0
//
// The two orders of topics: a treap whose priorities are hashes of the keys, so that equal sets have equal shapes.
// Paths are copied unless they already belong to the working version.
#include "meta/image_core.h"

#include <stdlib.h>

#include "base/map.h"

static int order_of(enum image_order order, const struct image_topic *a, const struct image_topic *b)
{
    if (order == IMAGE_BY_ID)
        return memcmp(a->id.b, b->id.b, sizeof(a->id.b));
    return bytes_cmp(image_topic_name(a), image_topic_name(b));
}

static uint32_t priority_of(enum image_order order, const struct image_topic *t)
{
    struct bytes key = order == IMAGE_BY_ID ? bytes_of(t->id.b, sizeof(t->id.b)) : image_topic_name(t);
    return (uint32_t)(map_hash_bytes(key) >> 32);
}

void image_tree_unref(struct image_tree_node *n)
{
    if (!n || !image_count_down(&n->refs))
        return;
    image_tree_unref(n->left);
    image_tree_unref(n->right);
    image_topic_unref(n->topic);
    free(n);
}

static struct image_tree_node *node_build(struct image *w, enum image_order order, struct image_topic *t)
{
    struct image_tree_node *n = malloc(sizeof(*n));
    if (!n) {
        w->poisoned = true;
        return NULL;
    }
    image_count_up(&t->refs);
    *n = (struct image_tree_node){.refs = 1, .priority = priority_of(order, t), .version = w->version, .topic = t};
    return n;
}

// Takes the caller's reference to n, gives one to a node that may be changed; n itself, untouched, when memory is
// short.
static struct image_tree_node *own(struct image *w, struct image_tree_node *n)
{
    if (n->version == w->version)
        return n;
    struct image_tree_node *copy = malloc(sizeof(*copy));
    if (!copy) {
        w->poisoned = true;
        return n;
    }
    // Field by field: n's count is being changed by other shards that let go of their versions.
    *copy = (struct image_tree_node){.refs = 1,
                                     .priority = n->priority,
                                     .version = w->version,
                                     .left = n->left,
                                     .right = n->right,
                                     .topic = n->topic};
    if (copy->left)
        image_count_up(&copy->left->refs);
    if (copy->right)
        image_count_up(&copy->right->refs);
    image_count_up(&copy->topic->refs);
    image_tree_unref(n);
    return copy;
}

static struct image_tree_node *rotate_right(struct image_tree_node *n)
{
    struct image_tree_node *l = n->left;
    n->left = l->right;
    l->right = n;
    return l;
}

static struct image_tree_node *rotate_left(struct image_tree_node *n)
{
    struct image_tree_node *r = n->right;
    n->right = r->left;
    r->left = n;
    return r;
}

static struct image_tree_node *put(struct image *w, enum image_order order, struct image_tree_node *n,
                                   struct image_topic *t)
{
    if (!n)
        return node_build(w, order, t);
    int c = order_of(order, t, n->topic);
    n = own(w, n);
    if (w->poisoned)
        return n;
    if (c == 0) {
        image_count_up(&t->refs);
        image_topic_unref(n->topic);
        n->topic = t;
        return n;
    }
    if (c < 0) {
        n->left = put(w, order, n->left, t);
        return !w->poisoned && n->left->priority > n->priority ? rotate_right(n) : n;
    }
    n->right = put(w, order, n->right, t);
    return !w->poisoned && n->right->priority > n->priority ? rotate_left(n) : n;
}

static struct image_tree_node *merge(struct image *w, struct image_tree_node *a, struct image_tree_node *b)
{
    if (!a || !b)
        return a ? a : b;
    if (a->priority > b->priority) {
        a = own(w, a);
        if (w->poisoned) {
            image_tree_unref(b);
            return a;
        }
        a->right = merge(w, a->right, b);
        return a;
    }
    b = own(w, b);
    if (w->poisoned) {
        image_tree_unref(a);
        return b;
    }
    b->left = merge(w, a, b->left);
    return b;
}

static struct image_tree_node *cut(struct image *w, enum image_order order, struct image_tree_node *n,
                                   const struct image_topic *t)
{
    ASSERT(n != NULL); // the caller has found it
    int c = order_of(order, t, n->topic);
    n = own(w, n);
    if (w->poisoned)
        return n;
    if (c < 0) {
        n->left = cut(w, order, n->left, t);
        return n;
    }
    if (c > 0) {
        n->right = cut(w, order, n->right, t);
        return n;
    }
    struct image_tree_node *rest = merge(w, n->left, n->right);
    n->left = n->right = NULL;
    image_tree_unref(n);
    return rest;
}

void image_tree_put(struct image *w, enum image_order order, struct image_topic *t)
{
    struct image_tree_node **root = order == IMAGE_BY_ID ? &w->by_id : &w->by_name;
    *root = put(w, order, *root, t);
}

void image_tree_remove(struct image *w, enum image_order order, const struct image_topic *t)
{
    struct image_tree_node **root = order == IMAGE_BY_ID ? &w->by_id : &w->by_name;
    *root = cut(w, order, *root, t);
}

const struct image_topic *image_topic_by_id(const struct image *i, struct uuid id)
{
    const struct image_tree_node *n = i->by_id;
    while (n) {
        int c = memcmp(id.b, n->topic->id.b, sizeof(id.b));
        if (c == 0)
            return n->topic;
        n = c < 0 ? n->left : n->right;
    }
    return NULL;
}

const struct image_topic *image_topic_by_name(const struct image *i, struct bytes name)
{
    const struct image_tree_node *n = i->by_name;
    while (n) {
        int c = bytes_cmp(name, image_topic_name(n->topic));
        if (c == 0)
            return n->topic;
        n = c < 0 ? n->left : n->right;
    }
    return NULL;
}

const struct image_topic *image_topic_next(const struct image *i, struct bytes after, bool inclusive)
{
    const struct image_topic *best = NULL;
    const struct image_tree_node *n = i->by_name;
    while (n) {
        int c = after.p ? bytes_cmp(after, image_topic_name(n->topic)) : -1;
        if (c < 0 || (c == 0 && inclusive)) {
            best = n->topic;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return best;
}
