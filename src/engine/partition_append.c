// SPDX-License-Identifier: Apache-2.0
//
// A batch from its arrival on the partition's shard to its answer: validation (at once when it is short, in slices when
// it is long), recompression where the topic asks for it, the log's queue, the gathered write at the end of the turn.
// Batches of one partition keep their order: later ones queue behind one in validation; other partitions do not wait.
// A log that has to be made or opened first costs 50 to 200 us of system calls: a turn does only so many of them, whoever
// comes later waits, in order, for the turns that follow.
#include "engine/partition.h"
#include "engine/partition_move.h"
#include "engine/replica.h"

#include <stdio.h>
#include <stdlib.h>

enum append_stage { APPEND_WAITING, APPEND_CHECKING, APPEND_RECOMPRESSING, APPEND_CHECKED };

enum {
    CHECK_STEP_US = 200,      // of one batch in one turn
    CHECK_TURN_US_MAX = 2000, // of all batches in one turn; the rest goes on in the next
    BEGIN_TURN_US_MAX = 1000, // of logs made or opened in one turn
    BEGIN_TURN_MAX = 16,
    CHECK_WORKSPACE_BYTES = 2 * CODEC_WORKSPACE_BYTES,
    INLINE_CHECK_BYTES_MAX = 256 << 10, // uncompressed: judged at once, about 50 us
};

static void partition_appends_run(struct partition *p);

// ------------------------------------------------------------------------------------------------ answers

void partition_append_finish(struct partition_append *op, enum rc rc)
{
    struct partition *p = op->p;
    op->rc = rc;
    if (p) {
        op->log_start_offset = plog_start_offset(&p->log);
        op->leader_epoch = p->leader_epoch;
        p->es->counters.appends_refused += rc != RC_OK;
    }
    buf_deinit(&op->recompressed);
    engine_call_finish(&op->call);
}

static void append_refuse(struct partition_append *op, const struct batch_check *check, enum rc rc)
{
    uint32_t count = check->record_error_count;
    struct partition_refusal *r = malloc(sizeof(*r) + count * sizeof(r->record_errors[0]));
    if (r) {
        snprintf(r->text, sizeof(r->text), "%s", check->text);
        r->record_error_count = count;
        for (uint32_t i = 0; i < count; i++) {
            r->record_errors[i].index = check->record_errors[i].index;
            batch_record_error_text(check, i, r->record_errors[i].text, sizeof(r->record_errors[i].text));
        }
    }
    op->refusal = r;
    partition_append_finish(op, rc);
}

void partition_refusal_free(struct partition_append *op)
{
    free(op->refusal);
    op->refusal = NULL;
}

// ------------------------------------------------------------------------------------------------ shares of a turn

static void turn_counters(struct engine_shard *es)
{
    if (es->check_turn == es->shard->counters.turns)
        return;
    es->check_turn = es->shard->counters.turns;
    es->check_us = es->begin_us = es->begun = 0;
}

// How many microseconds of validation this turn still allows.
static uint32_t check_budget(struct engine_shard *es)
{
    turn_counters(es);
    uint32_t left = es->check_us < CHECK_TURN_US_MAX ? CHECK_TURN_US_MAX - es->check_us : 0;
    return left < CHECK_STEP_US ? left : CHECK_STEP_US;
}

// Whether this turn may make or open one more log.
static bool begin_budget(struct engine_shard *es)
{
    turn_counters(es);
    return es->begun < BEGIN_TURN_MAX && es->begin_us < BEGIN_TURN_US_MAX;
}

static void begin_waits(struct partition *p, bool waits)
{
    if (p->begin_waits == waits)
        return;
    p->begin_waits = waits;
    p->es->beginners += waits ? 1 : UINT32_MAX;
}

// Whether p's log is ready for appends or may be made so now: who comes anew stands behind those who wait, or they
// would wait for ever.
static bool begin_may(struct partition *p)
{
    bool may = plog_is_begun(&p->log) || ((p->begin_waits || p->es->beginners == 0) && begin_budget(p->es));
    begin_waits(p, !may);
    return may;
}

static void partition_flush_task(struct shard_task *t);

// ------------------------------------------------------------------------------------------------ into the log

void partition_mark_dirty(struct partition *p)
{
    if (!list_node_linked(&p->dirty_link))
        list_push_back(&p->es->dirty, &p->dirty_link);
    shard_defer(p->es->shard, &p->es->flush_task, partition_flush_task);
}

static void append_written(struct plog_append *log, enum rc rc)
{
    struct partition_append *op = container_of(log, struct partition_append, log);
    struct partition *p = op->p;
    if (rc == RC_OK) {
        op->base_offset = log->base_offset;
        op->log_append_time_ms = log->log_append_time_ms;
        if (!log->duplicate)
            p->bytes_added += log->bytes;
        // A sync may complete long after the turn that wrote: watermark and watches follow at the end of this one.
        partition_mark_dirty(p);
        // What was written when this node lost its role is on this node only: nobody may take it for committed.
        if (p->state == PARTITION_DOOMED || (p->es->settling && !op->internal && replica_expected(p)))
            rc = RC_NOT_LEADER_OR_FOLLOWER;
        else if (op->all && !op->internal && p->replica && (rc = replica_wait(p, op)) == RC_AGAIN)
            return;
    }
    partition_append_finish(op, rc);
}

static void append_queue(struct partition *p, struct partition_append *op)
{
    struct engine_shard *es = p->es;
    bool other = op->recompressed.n > 0;
    uint8_t *batch = other ? op->recompressed.p : op->records;
    size_t bytes = other ? op->recompressed.n : op->bytes;
    enum rc rc = partition_open(p);
    if (rc == RC_OK && op->all && p->replica)
        rc = replica_append_allowed(p);
    if (rc == RC_OK && p->begun_epoch != p->leader_epoch)
        rc = plog_begin_epoch(&p->log, p->leader_epoch);
    if (rc != RC_OK) {
        if (!op->internal)
            plog_note_refused(&p->log, bytes_of(batch, bytes));
        partition_append_finish(op, rc);
        return;
    }
    p->begun_epoch = p->leader_epoch;
    op->log = (struct plog_append){.batch = batch,
                                   .bytes = bytes,
                                   .flags = op->internal ? PLOG_APPEND_INTERNAL : 0,
                                   .leader_epoch = p->leader_epoch,
                                   .done = append_written};
    rc = plog_append(&p->log, &op->log);
    if (rc != RC_OK) {
        partition_append_finish(op, rc == RC_AGAIN ? RC_NOT_LEADER_OR_FOLLOWER : rc);
        return;
    }
    es->counters.appends++;
    es->counters.append_bytes += op->bytes;
    partition_mark_dirty(p);
}

// The first append makes the log's folder and files, or opens them; that is done here, where its time is taken.
static void append_to_log(struct partition *p, struct partition_append *op)
{
    struct engine_shard *es = p->es;
    bool begins = !plog_is_begun(&p->log);
    uint64_t start_ns = begins ? io_clock_ns(es->shard->io) : 0;
    append_queue(p, op);
    if (!begins)
        return;
    plog_flush(&p->log);
    turn_counters(es);
    es->begin_us += (uint32_t)((io_clock_ns(es->shard->io) - start_ns) / 1000);
    es->begun++;
}

static void partition_flush_due(struct shard_timer *t)
{
    plog_sync(&container_of(t, struct partition, flush_timer)->log);
}

static void partition_flush_task(struct shard_task *t)
{
    struct engine_shard *es = container_of(t, struct engine_shard, flush_task);
    for (size_t n = es->dirty.count; n > 0; n--) {
        struct partition *p = list_entry(list_pop_front(&es->dirty), struct partition, dirty_link);
        plog_flush(&p->log);
        partition_advance(p);
        int64_t flush_ms = p->settings->log.flush_ms;
        if (flush_ms < INT64_MAX / 1000000 && !shard_timer_is_set(&p->flush_timer) &&
            plog_durable_end(&p->log) < plog_written_end(&p->log))
            shard_timer_set(es->shard, &p->flush_timer, shard_now_ns(es->shard) + (uint64_t)flush_ms * 1000000,
                            partition_flush_due);
    }
    engine_tell_failures(es);
}

// ------------------------------------------------------------------------------------------------ validation

static struct batch_rules append_rules(const struct partition *p, const struct partition_append *op)
{
    const struct topic_config *t = &p->settings->topic;
    struct batch_rules rules = batch_rules_default();
    rules.produce_version = op->version;
    rules.compacted = t->cleanup_compact;
    rules.log_append_time = t->log_append_time;
    rules.now_ms = io_wall_ms(p->es->shard->io);
    rules.timestamp_before_max_ms = t->timestamp_before_max_ms;
    rules.timestamp_after_max_ms = t->timestamp_after_max_ms;
    rules.batch_bytes_max = (uint32_t)t->max_message_bytes;
    return rules;
}

// The codec the topic wants other than the batch's, if any.
static bool append_wants_codec(const struct partition *p, const struct batch_header *h, enum codec *codec, int *level)
{
    const struct topic_config *t = &p->settings->topic;
    if (t->compression == CONFIG_COMPRESSION_PRODUCER || (unsigned)t->compression == batch_codec(h))
        return false;
    *codec = (enum codec)t->compression;
    *level = CODEC_LEVEL_DEFAULT;
    if (t->compression == CONFIG_COMPRESSION_GZIP)
        *level = t->gzip_level;
    if (t->compression == CONFIG_COMPRESSION_LZ4)
        *level = t->lz4_level;
    if (t->compression == CONFIG_COMPRESSION_ZSTD)
        *level = t->zstd_level;
    return true;
}

static struct engine_checker *checker_of(struct engine_shard *es, const struct partition *p)
{
    for (int i = 0; i < ENGINE_CHECKERS; i++)
        if (es->checkers[i].partition == p)
            return &es->checkers[i];
    return NULL;
}

static void checker_release(struct engine_checker *k)
{
    k->used_ns = shard_now_ns(k->partition->es->shard);
    k->partition = NULL;
}

// A free checker with memory to work in, or NULL.
static struct engine_checker *checker_acquire(struct engine_shard *es, struct partition *p)
{
    struct engine_checker *k = checker_of(es, NULL);
    if (!k)
        return NULL;
    if (!k->workspace) {
        k->workspace = io_buffer_acquire(es->shard->io, CHECK_WORKSPACE_BYTES);
        k->again = false;
    }
    if (!k->workspace)
        return NULL;
    k->partition = p;
    return k;
}

void partition_checkers_trim(struct engine_shard *es)
{
    for (int i = 0; i < ENGINE_CHECKERS; i++) {
        struct engine_checker *k = &es->checkers[i];
        if (!k->partition && k->workspace && shard_now_ns(es->shard) - k->used_ns > STORE_REST_NS) {
            io_buffer_release(es->shard->io, k->workspace, CHECK_WORKSPACE_BYTES);
            k->workspace = NULL;
        }
    }
}

void partition_checkers_free(struct engine_shard *es)
{
    for (int i = 0; i < ENGINE_CHECKERS; i++) {
        io_buffer_release(es->shard->io, es->checkers[i].workspace, CHECK_WORKSPACE_BYTES);
        es->checkers[i].workspace = NULL;
    }
}

// Uncompressed, short, and stays as it is: nothing to wait for.
static bool append_is_plain(const struct partition *p, const struct partition_append *op)
{
    return op->bytes <= INLINE_CHECK_BYTES_MAX && !batch_needs_workspace(bytes_of(op->records, op->bytes)) &&
           (p->settings->topic.compression == CONFIG_COMPRESSION_PRODUCER ||
            p->settings->topic.compression == CONFIG_COMPRESSION_NONE);
}

static enum rc checker_recompress_begin(struct engine_checker *k, struct partition_append *op)
{
    enum codec codec;
    int level;
    if (!append_wants_codec(op->p, &k->check.header, &codec, &level))
        return RC_OK;
    buf_init(&op->recompressed, k->check.inflated_bytes + k->check.inflated_bytes / 8 + 65536);
    op->stage = APPEND_RECOMPRESSING;
    k->again = false;
    op->p->es->counters.recompressed++;
    return batch_recompress_start(&k->recompress, bytes_of(op->records, op->bytes), codec, level, &op->recompressed,
                                  k->workspace, CHECK_WORKSPACE_BYTES);
}

// One slice of work on the first append of k's partition. RC_AGAIN: more to do.
static enum rc checker_step(struct engine_checker *k, struct partition_append *op, uint32_t work_us)
{
    enum rc rc;
    if (op->stage == APPEND_WAITING) {
        struct batch_rules rules = append_rules(op->p, op);
        op->stage = APPEND_CHECKING;
        rc = (k->again ? batch_check_again : batch_check_start)(&k->check, op->records, op->bytes, &rules, k->workspace,
                                                                CHECK_WORKSPACE_BYTES);
        k->again = true;
        if (rc == RC_AGAIN)
            rc = batch_check_step(&k->check, work_us);
    } else if (op->stage == APPEND_CHECKING) {
        rc = batch_check_step(&k->check, work_us);
    } else {
        rc = batch_recompress_step(&k->recompress, work_us);
        op->p->es->check_us += k->recompress.used_us;
        return rc;
    }
    op->p->es->check_us += k->check.used_us;
    return rc == RC_OK ? checker_recompress_begin(k, op) : rc;
}

// The first append of p is judged: into the log, or back with what was wrong.
static void append_judged(struct partition *p, struct partition_append *op, const struct batch_check *check, enum rc rc)
{
    list_remove(&p->appends, &op->link);
    if (rc != RC_OK)
        append_refuse(op, check, rc == RC_MALFORMED ? RC_INVALID_RECORD : rc);
    else if (check->header.attributes & BATCH_ATTR_TRANSACTIONAL && !op->internal)
        partition_append_finish(op, RC_INVALID_TXN_STATE); // nobody can have begun a transaction here
    else if (op->recompressed.n > (size_t)p->settings->topic.max_message_bytes)
        partition_append_finish(op, RC_MESSAGE_TOO_LARGE);
    else
        append_to_log(p, op);
}

static enum shard_job_state partition_check_job(struct shard_job *j, uint64_t budget_ns);

// The first append of p goes on in a coming turn.
static void partition_appends_wait(struct partition *p)
{
    struct engine_shard *es = p->es;
    if (!list_node_linked(&p->checking_link))
        list_push_back(&es->checking, &p->checking_link);
    if (!es->check_job.started)
        shard_job_start(es->shard, &es->check_job, partition_check_job);
}

// Works on the appends of p until one has to wait for the next turn.
static void partition_appends_run(struct partition *p)
{
    struct engine_shard *es = p->es;
    for (struct list_node *n; (n = list_first(&p->appends)) && !partition_move_holds(p);) {
        struct partition_append *op = list_entry(n, struct partition_append, link);
        if (op->stage == APPEND_WAITING && !begin_may(p)) {
            partition_appends_wait(p);
            return;
        }
        uint32_t work_us = check_budget(es);
        if (op->stage == APPEND_WAITING && append_is_plain(p, op)) {
            struct batch_check check;
            struct batch_rules rules = append_rules(p, op);
            enum rc rc = batch_check_run(&check, op->records, op->bytes, &rules, NULL, 0);
            append_judged(p, op, &check, rc);
            continue;
        }
        struct engine_checker *k = checker_of(es, p);
        if (!k && work_us > 0)
            k = checker_acquire(es, p);
        enum rc rc = k && work_us > 0 ? checker_step(k, op, work_us) : RC_AGAIN;
        if (rc == RC_AGAIN) {
            partition_appends_wait(p);
            return;
        }
        append_judged(p, op, &k->check, rc);
        checker_release(k);
    }
    begin_waits(p, false);
    if (list_node_linked(&p->checking_link))
        list_remove(&es->checking, &p->checking_link);
}

void partition_appends_resume(struct partition *p)
{
    if (!list_empty(&p->appends))
        partition_appends_wait(p);
}

static enum shard_job_state partition_check_job(struct shard_job *j, uint64_t budget_ns)
{
    struct engine_shard *es = container_of(j, struct engine_shard, check_job);
    (void)budget_ns; // check_budget() and begin_budget() bound the turn
    for (size_t n = es->checking.count; n > 0 && !list_empty(&es->checking); n--) {
        if (check_budget(es) == 0 && !begin_budget(es))
            break;
        struct partition *p = list_entry(list_pop_front(&es->checking), struct partition, checking_link);
        list_push_back(&es->checking, &p->checking_link); // next time it is another's turn first
        partition_appends_run(p);
    }
    return list_empty(&es->checking) ? SHARD_JOB_DONE : SHARD_JOB_MORE;
}

// ------------------------------------------------------------------------------------------------ arrival

void partition_append_run(struct engine_call *c)
{
    struct partition_append *op = container_of(c, struct partition_append, call);
    struct partition *p = partition_find(c->target, op->id);
    op->base_offset = OFFSET_NONE;
    op->log_append_time_ms = TIMESTAMP_NONE;
    op->log_start_offset = OFFSET_NONE;
    op->leader_epoch = LEADER_EPOCH_NONE;
    op->p = p;
    int32_t epoch = op->internal ? op->internal_epoch : LEADER_EPOCH_NONE;
    enum rc rc = p ? partition_check(p, epoch) : RC_NOT_LEADER_OR_FOLLOWER;
    if (rc == RC_OK && c->target->settling)
        rc = RC_NOT_LEADER_OR_FOLLOWER; // it was on its way from another shard when the stop began
    if (rc != RC_OK) {
        partition_append_finish(op, rc);
        return;
    }
    bool first = list_empty(&p->appends);
    op->stage = APPEND_WAITING;
    list_push_back(&p->appends, &op->link);
    if (first)
        partition_appends_run(p);
}

void partition_fail_appends(struct partition *p, enum rc rc)
{
    struct engine_checker *k = checker_of(p->es, p);
    if (k)
        checker_release(k);
    if (list_node_linked(&p->checking_link))
        list_remove(&p->es->checking, &p->checking_link);
    begin_waits(p, false);
    for (struct list_node *n; (n = list_pop_front(&p->appends));)
        partition_append_finish(list_entry(n, struct partition_append, link), rc);
}
