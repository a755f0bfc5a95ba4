// SPDX-License-Identifier: Apache-2.0
//
// Images to shards: at once on the quorum's own, one after the other through the mailbox on the others. A shard that is
// too slow to take every version gets the newest, told as if everything had changed.
#include "engine/quorum_core.h"

static void hand_over(struct quorum_reader *r, const struct image *image_owned)
{
    const struct image *old = r->image;
    r->image = image_owned;
    if (r->changed)
        r->changed(r, r->told ? old : NULL, image_owned);
    r->told = true;
    image_unref(old);
}

static void send_first(struct quorum *q, struct quorum_reader *r);

static void on_reader(struct shard *on, struct shard_message *m)
{
    struct quorum_reader *r = container_of(m, struct quorum_reader, message);
    hand_over(r, image_ref(r->pending[r->pending_head]));
    shard_answer(on, m);
}

// Back on the quorum's shard: the reader has moved on.
static void taken(struct shard *on, struct shard_message *m)
{
    (void)on;
    struct quorum_reader *r = container_of(m, struct quorum_reader, message);
    struct quorum *q = r->quorum;
    const struct image *i = r->pending[r->pending_head];
    r->seen_index = i->index;
    r->pending_head = (r->pending_head + 1) % QUORUM_PENDING_IMAGES;
    r->pending_count--;
    image_unref(i);
    send_first(q, r);
    quorum_wake(q);
}

static void behind(struct quorum *q, struct quorum_reader *r)
{
    struct image *all = image_begin(q->image);
    if (!all)
        return; // the next publication tries again
    all->changes.everything = true;
    r->behind = false;
    r->pending[r->pending_head] = all;
    r->pending_count = 1;
}

static void room(struct shard_task *t)
{
    struct quorum_reader *r = container_of(t, struct quorum_reader, retry);
    if (!r->message.in_flight)
        send_first(r->quorum, r);
}

static void send_first(struct quorum *q, struct quorum_reader *r)
{
    if (r->pending_count == 0 && r->behind)
        behind(q, r);
    if (r->pending_count == 0 || q->resting)
        return;
    r->message.run = on_reader;
    r->message.answered = taken;
    if (shard_send(q->shard, r->shard->id, &r->message) != RC_OK)
        shard_mailbox_wait(q->shard, r->shard->id, &r->retry, room);
}

static void offer(struct quorum *q, struct quorum_reader *r, const struct image *i)
{
    if (r->shard == q->shard) {
        hand_over(r, image_ref(i));
        r->seen_index = i->index;
        return;
    }
    if (r->behind || r->pending_count == QUORUM_PENDING_IMAGES)
        r->behind = true;
    else
        r->pending[(r->pending_head + r->pending_count++) % QUORUM_PENDING_IMAGES] = image_ref(i);
    if (!r->message.in_flight)
        send_first(q, r);
}

void quorum_publish(struct quorum *q, const struct image *fresh_owned)
{
    const struct image *old = q->image;
    bool nodes = fresh_owned->changes.everything || fresh_owned->changes.nodes;
    if (nodes)
        quorum_met_nodes(q, fresh_owned);
    q->image = fresh_owned;
    if (nodes)
        quorum_peers_learn(q);
    for (struct list_node *n = q->readers.head.next; n != &q->readers.head && !q->held && !q->resting; n = n->next)
        offer(q, container_of(n, struct quorum_reader, link), fresh_owned);
    image_unref(old);
}

void quorum_rest(struct quorum *q)
{
    q->resting = true;
    quorum_wake(q);
}

void quorum_release(struct quorum *q)
{
    ASSERT(q->held);
    struct image *all = image_begin(q->image);
    if (!all) {
        quorum_dead(q, RC_NOMEM, "out of memory while starting");
        return;
    }
    all->changes.everything = true;
    q->held = false;
    quorum_publish(q, all);
}

uint64_t quorum_seen_index(const struct quorum *q)
{
    uint64_t seen = q->image->index;
    if (q->held)
        return seen; // nobody looks yet
    for (const struct list_node *n = q->readers.head.next; n != &q->readers.head; n = n->next) {
        const struct quorum_reader *r = container_of(n, struct quorum_reader, link);
        if (r->seen_index < seen)
            seen = r->seen_index;
    }
    return seen;
}

void quorum_first_images(struct quorum *q)
{
    for (struct list_node *n = q->readers.head.next; n != &q->readers.head; n = n->next) {
        struct quorum_reader *r = container_of(n, struct quorum_reader, link);
        if (q->held)
            r->image = image_ref(q->image); // what it is told first comes with quorum_release()
        else
            hand_over(r, image_ref(q->image));
        r->seen_index = q->image->index;
    }
}

void quorum_attach(struct quorum *q, struct shard *s, struct quorum_reader *reader)
{
    ASSERT(!q->started);
    quorum_image_fn changed = reader->changed;
    *reader = (struct quorum_reader){.changed = changed, .quorum = q, .shard = s};
    list_push_back(&q->readers, &reader->link);
}

void quorum_detach(struct quorum *q, struct quorum_reader *reader)
{
    if (!list_node_linked(&reader->link))
        return;
    list_remove(&q->readers, &reader->link);
    shard_defer_cancel(q->shard, &reader->retry);
    for (; reader->pending_count > 0; reader->pending_count--) {
        image_unref(reader->pending[reader->pending_head]);
        reader->pending_head = (reader->pending_head + 1) % QUORUM_PENDING_IMAGES;
    }
    image_unref(reader->image);
    reader->image = NULL;
}
