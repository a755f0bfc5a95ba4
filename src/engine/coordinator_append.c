// SPDX-License-Identifier: Apache-2.0
//
// The way of a decision: out of the core, into the log, and back when the high watermark has passed it under the same
// leader epoch. The core hears of its decisions in the order of the log, so a refusal waits for those before it. One
// that takes longer than offsets.commit.timeout.ms has its clients answered and stays in line.
#include "engine/coordinator_core.h"

enum { INTERNAL_VERSION = 11 }; // of Produce: its rules are the newest

static void append_free(struct coordinator_append *a)
{
    struct coordinator *co = a->coordinator;
    if (list_node_linked(&a->link))
        list_remove(&co->in_flight, &a->link);
    pool_release(&coordinators_of(co)->appends, a);
}

// The log is done with the bytes: written, or refused.
static void append_written(struct engine_call *call)
{
    struct partition_append *op = container_of(call, struct partition_append, call);
    struct coordinator_append *a = container_of(op, struct coordinator_append, append);
    struct coordinator *co = a->coordinator;
    partition_refusal_free(op);
    a->written = true;
    co->appending--;
    if (!a->decision || co->state == COORDINATOR_GONE) {
        if (a->decision)
            groups_append_orphan(a->decision);
        append_free(a);
    }
    coordinator_wake(co);
}

static void append_late_due(struct shard_timer *t);

static void append_set_late_timer(struct coordinator *co)
{
    struct list_node *n = list_first(&co->in_flight);
    while (n && list_entry(n, struct coordinator_append, link)->late)
        n = list_next(&co->in_flight, n);
    if (n && !shard_timer_is_set(&co->late_timer))
        shard_timer_set(co->es->shard, &co->late_timer, list_entry(n, struct coordinator_append, link)->late_ns,
                        append_late_due);
}

static void append_late_due(struct shard_timer *t)
{
    struct coordinator *co = container_of(t, struct coordinator, late_timer);
    struct group_time now = coordinator_now(co);
    for (struct list_node *n = list_first(&co->in_flight); n; n = list_next(&co->in_flight, n)) {
        struct coordinator_append *a = list_entry(n, struct coordinator_append, link);
        if (a->late_ns > now.now_ns)
            break;
        if (!a->late) {
            a->late = true;
            coordinators_of(co)->counters.appends_late++;
            groups_append_late(&co->groups, a->decision, now);
        }
    }
    append_set_late_timer(co);
    coordinator_wake(co);
}

static void append_start(struct coordinator *co, struct coordinator_append *a)
{
    a->coordinator = co;
    a->late_ns = shard_now_ns(co->es->shard) + coordinators_of(co)->commit_timeout_ns;
    a->append.records = a->decision->batch.p;
    a->append.bytes = a->decision->batch.n;
    a->append.id = co->id;
    a->append.version = INTERNAL_VERSION;
    a->append.all = true;
    a->append.internal = true;
    a->append.internal_epoch = co->leader_epoch;
    a->append.call.run = partition_append_run;
    a->append.call.done = append_written;
    list_push_back(&co->in_flight, &a->link);
    co->appending++;
    coordinators_of(co)->counters.appends++;
    engine_call_start(&a->append.call, co->es, co->es);
}

void coordinator_append_decisions(struct coordinator *co)
{
    for (struct group_append *d; (d = groups_next_append(&co->groups));) {
        struct coordinator_append *a = pool_acquire(&coordinators_of(co)->appends);
        if (!a) { // a refusal would have to wait in line, for which there is no memory: begin anew with the next call
            coordinators_of(co)->counters.appends_failed++;
            coordinator_end(co);
            groups_append_orphan(d);
            return;
        }
        a->decision = d;
        append_start(co, a);
    }
    append_set_late_timer(co);
}

// The end of the coordinator rather than of one append.
static bool append_lost(enum rc rc)
{
    return rc == RC_FENCED_LEADER_EPOCH || rc == RC_UNKNOWN_LEADER_EPOCH || rc == RC_NOT_LEADER_OR_FOLLOWER ||
           rc == RC_STORAGE_ERROR || rc == RC_OFFLINE || rc == RC_IO || rc == RC_UNKNOWN_TOPIC_OR_PARTITION;
}

bool coordinator_append_settle(struct coordinator *co)
{
    for (struct list_node *n; (n = list_first(&co->in_flight));) {
        struct coordinator_append *a = list_entry(n, struct coordinator_append, link);
        if (!a->written)
            return true;
        enum rc rc = a->append.rc;
        if (append_lost(rc))
            return false;
        if (rc == RC_OK && co->p->high_watermark <= a->append.log.last_offset)
            return true;
        if (rc == RC_OK) {
            co->applied = a->append.log.last_offset + 1;
            co->bytes_applied += a->append.bytes;
        } else {
            coordinators_of(co)->counters.appends_failed++;
        }
        struct group_append *d = a->decision;
        append_free(a);
        groups_append_done(&co->groups, d, rc, coordinator_now(co));
    }
    shard_timer_cancel(co->es->shard, &co->late_timer);
    return true;
}

void coordinator_append_drop(struct coordinator *co)
{
    for (struct list_node *n = list_first(&co->in_flight), *next; n; n = next) {
        next = list_next(&co->in_flight, n);
        struct coordinator_append *a = list_entry(n, struct coordinator_append, link);
        if (!a->written)
            continue; // append_written() lets go of its bytes
        groups_append_orphan(a->decision);
        append_free(a);
    }
}
