// SPDX-License-Identifier: Apache-2.0
//
// The client of the store scenario: appends, reads, asks by time, deletes records and topics, and writes down what it
// was told. Everything here runs inside the process; the account is the simulator's.
#include "store_world.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "wire/batch.h"

struct append_job {
    struct plog_append op;
    struct store_program *g;
    uint32_t slot, generation;
    int producer; // -1: none
    bool repeats; // a batch that was sent before
    struct buf bytes;
};

// More than a log remembers of a producer.
enum { PRODUCER_OUT_MAX = PRODUCER_BATCHES_KEPT + 2 };

static bool serves(const struct store_program *g, uint32_t slot)
{
    const struct plog *l = &g->logs[slot];
    bool state = l->state == PLOG_OPEN || l->state == PLOG_AT_REST || l->state == PLOG_UNMADE;
    return g->w->slots[slot].used && g->attached[slot] && g->checked[slot] && state;
}

// Errors that nobody can hold against the store: the disk failed, or a log at rest turned out to need recovery.
static bool excused(const struct store_world *w, const struct plog *l, enum rc rc)
{
    return rc == RC_OFFLINE || (rc == RC_AGAIN && l->state == PLOG_UNCLEAN) || store_disk_failed(w);
}

// ------------------------------------------------------------------------------------------------ append

static void append_free(struct append_job *job)
{
    job->g->appends_out--;
    if (job->producer >= 0)
        job->g->producer_out[job->slot][job->producer]--;
    buf_deinit(&job->bytes);
    free(job);
}

// Producers' sequences follow what is in the log, and what it knew of them before: of batches below its start that may
// be less than the model remembers.
static void sequences_from_model(struct store_slot *s)
{
    for (int k = 0; k < STORE_PRODUCERS; k++) {
        int32_t next = s->producers[k].checked_sequence;
        for (size_t j = s->model.count; j > 0 && s->model.v[j - 1].base_offset >= s->checked_end; j--)
            if (s->model.v[j - 1].producer_id == s->producers[k].id) {
                next = s->model.v[j - 1].last_sequence + 1;
                break;
            }
        s->producers[k].next_sequence = next;
    }
}

static void append_done(struct plog_append *op, enum rc rc)
{
    struct append_job *job = container_of(op, struct append_job, op);
    struct store_program *g = job->g;
    struct store_world *w = g->w;
    struct store_slot *s = &w->slots[job->slot];
    if (s->generation != job->generation) {
        append_free(job);
        return;
    }
    if (rc == RC_OK) {
        w->result->acked++;
        plog_note_high_watermark(&g->logs[job->slot], plog_offered_end(&g->logs[job->slot]));
        if (!model_log_acked(&s->model, op->base_offset))
            model_fail(&s->model, &w->sim, "%s: an append at offset %lld was answered that was never asked for",
                       s->topic, (long long)op->base_offset);
    } else if (rc == RC_NO_SPACE && !job->repeats) {
        // Nothing of it is in the log, nor of what was queued behind it.
        model_log_failed(&s->model, op->base_offset);
        sequences_from_model(s);
    } else if (rc != RC_NO_SPACE && !store_disk_failed(w)) {
        model_fail(&s->model, &w->sim, "%s: append at %lld failed without a fault of the disk: %s", s->topic,
                   (long long)op->base_offset, rc_name(rc));
    }
    append_free(job);
}

static bool build_batch(struct store_world *w, struct store_slot *s, struct append_job *job, int producer)
{
    struct sim *sim = &w->sim;
    struct batch_options o = batch_options_default();
    if (producer >= 0) {
        o.producer_id = s->producers[producer].id;
        o.producer_epoch = s->producers[producer].epoch;
        o.base_sequence = s->producers[producer].next_sequence;
    }
    struct batch_builder b;
    if (s->config.compacts && sim_chance(sim, 1, 8)) // the builder takes megabytes for each
        o.codec = (enum codec)sim_between(sim, 0, CODEC_COUNT - 1);
    batch_builder_init(&b, &o, 128 << 10);
    uint64_t records = sim_chance(sim, 1, 2) ? 1 : sim_between(sim, 1, 12);
    uint64_t value_max = sim_chance(sim, 1, 20) ? 6000 : 300;
    static const uint8_t noise[6000];
    uint8_t value[6000];
    int64_t now_ms = io_wall_ms(job->g->io);
    bool fine = true;
    for (uint64_t k = 0; k < records; k++) {
        size_t n = (size_t)sim_between(sim, 8, value_max);
        char key[16] = "";
        int64_t timestamp = now_ms - (int64_t)sim_between(sim, 0, 50);
        uint64_t tag = prng_next(&sim->prng);
        memcpy(value, noise, n);
        memcpy(value, &tag, sizeof(tag));
        struct bytes v = bytes_of(value, n), no = bytes_of(NULL, 0);
        if (s->config.compacts) {
            uint8_t which = (uint8_t)sim_between(sim, 0, MODEL_KEYS - 1);
            if (sim_chance(sim, 1, 6))
                v = no;
            model_key_text(which, key);
            model_keys_sent(&s->keys, model_log_next(&s->model) + (int64_t)k, which, v, timestamp);
        }
        fine &= batch_builder_add(&b, timestamp, key[0] ? bytes_str(key) : no, v, NULL, 0) == RC_OK;
    }
    buf_init(&job->bytes, 256 << 10);
    fine &= batch_builder_finish(&b, &job->bytes) == RC_OK;
    batch_builder_deinit(&b);
    ASSERT(fine);
    return fine;
}

static void append_sent(struct store_world *w, struct store_slot *s, const struct append_job *job)
{
    struct batch_header h;
    enum rc rc = batch_header_read(buf_bytes(&job->bytes), &h);
    ASSERT(rc == RC_OK);
    if (job->op.base_offset != model_log_next(&s->model)) {
        model_fail(&s->model, &w->sim, "%s: an append got offset %lld, the next is %lld", s->topic,
                   (long long)job->op.base_offset, (long long)model_log_next(&s->model));
        return;
    }
    struct model_batch b = {.base_offset = job->op.base_offset,
                            .last_offset = job->op.last_offset,
                            .hash = model_batch_hash(buf_bytes(&job->bytes)),
                            .producer_id = h.producer_id,
                            .producer_epoch = h.producer_epoch,
                            .leader_epoch = job->op.leader_epoch,
                            .base_sequence = h.base_sequence,
                            .last_sequence = h.producer_id >= 0 ? batch_last_sequence(&h) : -1,
                            .timestamp_max = h.max_timestamp,
                            .bytes = (uint32_t)job->bytes.n};
    model_log_sent(&s->model, &b);
}

static bool append_excused(const struct store_world *w, const struct store_slot *s, const struct append_job *job,
                           enum rc rc)
{
    return (rc == RC_RECORD_LIST_TOO_LARGE && job->bytes.n > s->config.segment_bytes) || rc == RC_NO_SPACE ||
           rc == RC_OFFLINE || rc == RC_AGAIN || (rc == RC_IO && store_disk_failed(w));
}

// The client sends the batch again while the first one is under way: one answer is as good as the other.
static void append_again(struct store_program *g, const struct append_job *first)
{
    struct store_world *w = g->w;
    struct store_slot *s = &w->slots[first->slot];
    struct append_job *job = calloc(1, sizeof(*job));
    ASSERT(job);
    *job = (struct append_job){
        .g = g, .slot = first->slot, .generation = first->generation, .producer = -1, .repeats = true};
    buf_init(&job->bytes, 256 << 10);
    buf_append(&job->bytes, first->bytes.p, first->bytes.n);
    g->appends_out++;
    job->op = (struct plog_append){.batch = job->bytes.p, .bytes = job->bytes.n, .leader_epoch = s->leader_epoch,
                                   .done = append_done};
    enum rc rc = plog_append(&g->logs[job->slot], &job->op);
    if (rc == RC_OK) {
        if (!job->op.duplicate || job->op.base_offset != first->op.base_offset)
            model_fail(&s->model, &w->sim, "%s: the batch at %lld, sent again, was not taken for a duplicate", s->topic,
                       (long long)first->op.base_offset);
        return;
    }
    if (!append_excused(w, s, job, rc))
        model_fail(&s->model, &w->sim, "%s: a repeated append is refused: %s", s->topic, rc_name(rc));
    append_free(job);
}

static void append(struct store_program *g, uint32_t slot)
{
    struct store_world *w = g->w;
    struct store_slot *s = &w->slots[slot];
    int producer = (int)sim_between(&w->sim, 0, STORE_PRODUCERS) - 1;
    if (sim_chance(&w->sim, 1, 64)) // another leader, with what the one before has left
        s->leader_epoch++;
    struct append_job *job = calloc(1, sizeof(*job));
    ASSERT(job);
    if (producer >= 0 && g->producer_out[slot][producer] >= PRODUCER_OUT_MAX)
        producer = -1;
    *job = (struct append_job){.g = g, .slot = slot, .generation = s->generation, .producer = producer};
    g->appends_out++;
    if (producer >= 0)
        g->producer_out[slot][producer]++;
    build_batch(w, s, job, producer);
    job->op =
        (struct plog_append){.batch = job->bytes.p, .bytes = job->bytes.n, .leader_epoch = s->leader_epoch,
                             .done = append_done};
    enum rc rc = plog_append(&g->logs[slot], &job->op);
    if (rc == RC_OK) {
        if (job->op.duplicate)
            model_fail(&s->model, &w->sim, "%s: a new batch was taken for a duplicate", s->topic);
        append_sent(w, s, job);
        if (producer >= 0)
            s->producers[producer].next_sequence = s->model.v[s->model.count - 1].last_sequence + 1;
        g->dirty[slot] = true;
        if (producer >= 0 && !w->options->no_repeats && sim_chance(&w->sim, 1, 8))
            append_again(g, job);
        return;
    }
    if (!append_excused(w, s, job, rc))
        model_fail(&s->model, &w->sim, "%s: append refused: %s", s->topic, rc_name(rc));
    append_free(job);
}

// ------------------------------------------------------------------------------------------------ reads

static size_t random_readable(struct store_world *w, const struct store_slot *s, const struct plog *l)
{
    size_t from = model_log_find(&s->model, plog_start_offset(l));
    size_t to = model_log_find(&s->model, plog_written_end(l));
    return from < to ? (size_t)sim_between(&w->sim, from, to - 1) : SIZE_MAX;
}

static void read_some(struct store_program *g, uint32_t slot)
{
    struct store_world *w = g->w;
    struct store_slot *s = &w->slots[slot];
    struct plog *l = &g->logs[slot];
    size_t k = random_readable(w, s, l);
    if (k == SIZE_MAX)
        return;
    const struct model_batch *b = &s->model.v[k];
    int64_t low = b->base_offset > plog_start_offset(l) ? b->base_offset : plog_start_offset(l);
    struct plog_read read = {.offset = (int64_t)sim_between(&w->sim, (uint64_t)low, (uint64_t)b->last_offset),
                             .bound = plog_written_end(l),
                             .bytes_max = sim_between(&w->sim, 1, 32 << 10),
                             .at_least_one = true};
    struct plog_slice slice;
    enum rc rc = plog_read(l, &read, &slice, NULL);
    if (rc || !slice.file) {
        if (!excused(w, l, rc))
            model_fail(&s->model, &w->sim, "%s: reading offset %lld below %lld gives nothing: %s", s->topic,
                       (long long)read.offset, (long long)read.bound, rc_name(rc));
        return;
    }
    if (s->config.compacts) {
        plog_slice_release(&slice);
        return;
    }
    if (slice.first_offset != b->base_offset)
        model_fail(&s->model, &w->sim, "%s: offset %lld was looked up at batch %lld, it lies in batch %lld..%lld",
                   s->topic, (long long)read.offset, (long long)slice.first_offset, (long long)b->base_offset,
                   (long long)b->last_offset);
    uint8_t *p = malloc(b->bytes);
    size_t got;
    ASSERT(p);
    rc = io_file_read_now(plog_slice_file(&slice), p, b->bytes, slice.position, &got);
    if (rc == RC_OK && (got != b->bytes || model_batch_hash(bytes_of(p, got)) != b->hash))
        model_fail(&s->model, &w->sim, "%s: batch %lld..%lld reads as other bytes", s->topic, (long long)b->base_offset,
                   (long long)b->last_offset);
    free(p);
    plog_slice_release(&slice);
}

static void find_time(struct store_program *g, uint32_t slot)
{
    struct store_world *w = g->w;
    struct store_slot *s = &w->slots[slot];
    struct plog *l = &g->logs[slot];
    size_t k = random_readable(w, s, l);
    if (k == SIZE_MAX)
        return;
    int64_t timestamp = s->model.v[k].timestamp_max;
    size_t expected = model_log_find(&s->model, plog_start_offset(l));
    while (s->model.v[expected].timestamp_max < timestamp)
        expected++;
    struct plog_time_found found;
    enum rc rc = plog_find_timestamp(l, timestamp, plog_written_end(l), &found, NULL);
    if (rc) {
        if (!excused(w, l, rc))
            model_fail(&s->model, &w->sim, "%s: looking up time %lld failed: %s", s->topic, (long long)timestamp,
                       rc_name(rc));
        return;
    }
    // After a failed sync the time index may have lost entries that no start looks at again.
    if (s->config.compacts) { // what lay there may be gone
        if (found.found)
            plog_slice_release(&found.batch);
        return;
    }
    bool right = found.found && found.batch.first_offset == s->model.v[expected].base_offset;
    if (!right && !s->model.tainted_ever)
        model_fail(&s->model, &w->sim,
                   "%s: time %lld was looked up at offset %lld, the first batch that late is at %lld", s->topic,
                   (long long)timestamp, found.found ? (long long)found.batch.first_offset : -1LL,
                   (long long)s->model.v[expected].base_offset);
    if (found.found)
        plog_slice_release(&found.batch);
}

// ------------------------------------------------------------------------------------------------ the rest

struct checkpoint_job {
    struct plog_checkpoint op;
    struct store_program *g;
    uint32_t slot, generation;
    int64_t end;
};

static void checkpoint_done(struct plog_checkpoint *op, enum rc rc)
{
    struct checkpoint_job *job = container_of(op, struct checkpoint_job, op);
    struct store_slot *s = &job->g->w->slots[job->slot];
    if (rc == RC_OK && s->generation == job->generation)
        model_log_durable(&s->model, job->end);
    job->g->checkpoints_out--;
    free(job);
}

static void checkpoint(struct store_program *g, uint32_t slot)
{
    struct checkpoint_job *job = calloc(1, sizeof(*job));
    ASSERT(job);
    *job = (struct checkpoint_job){.op.done = checkpoint_done,
                                   .g = g,
                                   .slot = slot,
                                   .generation = g->w->slots[slot].generation,
                                   .end = plog_written_end(&g->logs[slot])};
    g->checkpoints_out++;
    enum rc rc = plog_checkpoint(&g->logs[slot], &job->op);
    if (rc != RC_AGAIN)
        checkpoint_done(&job->op, rc);
}

struct start_job {
    struct plog_start_op op;
    struct store_program *g;
    uint32_t slot, generation;
    int64_t offset;
};

static void start_done(struct plog_start_op *op, enum rc rc)
{
    struct start_job *job = container_of(op, struct start_job, op);
    struct store_slot *s = &job->g->w->slots[job->slot];
    if (rc == RC_OK && s->generation == job->generation) {
        if (job->offset > s->model.start_acked)
            s->model.start_acked = job->offset;
        if (job->offset > s->model.start_seen)
            s->model.start_seen = job->offset;
    }
    job->g->starts_out--;
    free(job);
}

static void delete_records(struct store_program *g, uint32_t slot)
{
    struct store_world *w = g->w;
    struct store_slot *s = &w->slots[slot];
    size_t k = random_readable(w, s, &g->logs[slot]);
    if (k == SIZE_MAX)
        return;
    struct start_job *job = calloc(1, sizeof(*job));
    ASSERT(job);
    *job = (struct start_job){.op.done = start_done, .g = g, .slot = slot, .generation = s->generation};
    job->offset =
        (int64_t)sim_between(&w->sim, (uint64_t)s->model.v[k].base_offset, (uint64_t)s->model.v[k].last_offset + 1);
    if (job->offset > s->model.start_asked)
        s->model.start_asked = job->offset;
    g->starts_out++;
    enum rc rc = plog_raise_start(&g->logs[slot], job->offset, &job->op);
    if (rc != RC_AGAIN)
        start_done(&job->op, rc);
}

void store_client_act(void *argument)
{
    struct store_program *g = argument;
    struct store_world *w = g->w;
    uint32_t slot = (uint32_t)sim_between(&w->sim, 0, w->slot_count - 1);
    uint64_t dice = sim_between(&w->sim, 0, 999);
    if (!serves(g, slot) || w->sim.failed)
        return;
    struct plog *l = &g->logs[slot];
    if (dice < 720)
        for (uint64_t k = sim_between(&w->sim, 1, 3); k > 0 && g->appends_out < 64; k--)
            append(g, slot);
    else if (dice < 840)
        read_some(g, slot);
    else if (dice < 880)
        find_time(g, slot);
    else if (dice < 905)
        plog_sync(l);
    else if (dice < 925)
        checkpoint(g, slot);
    else if (dice < 945)
        delete_records(g, slot);
    else if (dice < 970)
        plog_retention_step(l, plog_written_end(l), io_wall_ms(g->io));
    else if (dice < 985 && l->state == PLOG_OPEN && plog_is_idle(l))
        plog_rest(l);
    else if (dice < 990)
        store_program_replace(g, slot);
    else
        sim_node_evict(w->node);
}
