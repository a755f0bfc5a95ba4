// SPDX-License-Identifier: Apache-2.0
//
// Brings a coordinator's core up to date: the snapshot beside the log, if there is a good one, then the log from there
// (or from its start) to where it ended when the leader epoch began, as far as the high watermark lets it. A job with a
// budget; what is not in the page cache is read through the ring.
//
//     OPEN -> HEAD -> BLOCK... -> READ <-> APPLY -> (end reached and committed) loaded
//                 \__ no snapshot, or a bad one: a fresh core __/
//
// A failure that may pass is tried again; damage leaves the coordinator FAILED, with a line that names the offset.
#include "engine/coordinator_core.h"

#include <stdlib.h>

enum load_stage { LOAD_OPEN, LOAD_HEAD, LOAD_BLOCK, LOAD_BLOCK_RECORDS, LOAD_READ, LOAD_FILL, LOAD_APPLY };
enum load_read { READ_NONE, READ_FLYING, READ_BACK };

enum {
    READ_BYTES = 256 << 10,      // of the log at a time; a larger batch is read as a whole
    BLOCK_BYTES_MAX = 64 << 20,  // of a snapshot
    BATCH_INFLATED_MAX = 64 << 20, // what a coordinator writes is far below
    RECORDS_A_STEP = 64,
    OPENING_NS = 2 * 1000 * 1000,
    RETRY_NS = 1000 * 1000 * 1000,
};

struct coordinator_load {
    struct coordinator *co; // NULL: stopped; freed when its read is back
    struct engine_shard *es;
    struct shard_job job;
    struct shard_timer retry;
    enum load_stage stage;
    // reading
    struct io_op op;
    struct plog_wait wait;
    enum load_read read;
    enum rc read_rc;
    size_t read_bytes;
    uint8_t *buffer;
    size_t buffer_bytes;
    // the log
    int64_t next, target;
    struct plog_slice slice;
    size_t at; // in the buffer: of the batch at hand
    bool in_batch, inflating;
    struct batch_header header;
    struct batch_iter iter;
    struct codec_reader codec;
    uint8_t *workspace;
    struct buf inflated;
    // the snapshot
    struct io_file file;
    uint64_t file_at;
    struct coordinator_snapshot_head head;
    struct bytes records; // of the block at hand, still to be applied
    uint64_t records_applied;
};

// ------------------------------------------------------------------------------------------------ memory

static void load_drop_buffers(struct coordinator_load *l)
{
    struct io *io = l->es->shard->io;
    io_buffer_release(io, l->buffer, l->buffer_bytes);
    io_buffer_release(io, l->workspace, CODEC_WORKSPACE_BYTES);
    l->buffer = l->workspace = NULL;
    buf_deinit(&l->inflated);
    plog_slice_release(&l->slice);
    if (io_file_is_open(&l->file))
        io_file_close(&l->file);
    l->in_batch = l->inflating = false;
    l->read = READ_NONE;
}

static void load_free(struct coordinator_load *l)
{
    load_drop_buffers(l);
    free(l);
}

// Something came back that was waited for.
static void load_woken(struct coordinator_load *l)
{
    l->read = READ_BACK;
    if (l->co) {
        shard_job_wake(l->es->shard, &l->job);
        return;
    }
    l->es->coordinators->orphans--;
    load_free(l);
}

static void load_read_done(struct io_op *op, enum rc rc, size_t bytes)
{
    struct coordinator_load *l = container_of(op, struct coordinator_load, op);
    l->read_rc = rc;
    l->read_bytes = bytes;
    load_woken(l);
}

static void load_wait_done(struct plog_wait *w)
{
    load_woken(container_of(w, struct coordinator_load, wait));
}

// bytes of f at offset into the buffer. RC_AGAIN: on their way, call again. RC_EOF: the file is shorter.
static enum rc load_fill(struct coordinator_load *l, struct io_file *f, uint64_t offset, size_t bytes)
{
    struct io *io = l->es->shard->io;
    enum rc rc = l->read_rc;
    size_t got = l->read_bytes;
    if (l->read == READ_NONE) {
        if (l->buffer_bytes < bytes || !l->buffer) {
            io_buffer_release(io, l->buffer, l->buffer_bytes);
            l->buffer_bytes = bytes < READ_BYTES ? READ_BYTES : bytes;
            l->buffer = io_buffer_acquire(io, l->buffer_bytes);
        }
        if (!l->buffer)
            return RC_NOMEM;
        rc = io_file_read_cached(f, l->buffer, bytes, offset, &got);
        if (rc == RC_AGAIN) {
            l->read = READ_FLYING;
            l->op.done = load_read_done;
            io_file_read(&l->op, f, l->buffer, bytes, offset);
            return RC_AGAIN;
        }
    }
    l->read = READ_NONE;
    return rc == RC_OK && got < bytes ? RC_EOF : rc;
}

// ------------------------------------------------------------------------------------------------ open

static enum rc load_open(struct coordinator_load *l)
{
    struct coordinator *co = l->co;
    struct partition *p = co->p;
    enum rc rc = p->state == PARTITION_BLOCKED ? RC_NOT_LEADER_OR_FOLLOWER : partition_open(p);
    if (rc == RC_OK && !co->has_core)
        rc = coordinator_core_begin(co);
    if (rc != RC_OK)
        return rc;
    l->target = plog_written_end(&p->log);
    l->next = plog_start_offset(&p->log);
    l->stage = LOAD_HEAD;
    return RC_OK;
}

// ------------------------------------------------------------------------------------------------ snapshot

// On with the log from its start; what a bad snapshot left in the core goes.
static enum rc load_without_snapshot(struct coordinator_load *l, enum rc why)
{
    struct coordinator *co = l->co;
    char name[TOPIC_NAME_BYTES_MAX + 16];
    if (io_file_is_open(&l->file))
        io_file_close(&l->file);
    if (why != RC_NOT_FOUND) {
        coordinators_of(co)->counters.snapshots_ignored++;
        trace_warn(l->es->engine->config.trace, "the snapshot of %s is ignored (%s); its log is read from the start",
                   coordinator_name(co, name), rc_text(why));
    }
    l->stage = LOAD_READ;
    l->next = plog_start_offset(&co->p->log);
    if (l->records_applied == 0)
        return RC_OK;
    l->records_applied = 0;
    coordinator_core_end(co);
    return coordinator_core_begin(co);
}

// A snapshot counts when the log holds, under the epoch it names, the batch that it ends with: an offset and an epoch
// name one batch for ever.
static bool load_snapshot_fits(struct coordinator_load *l)
{
    struct plog *log = &l->co->p->log;
    const struct coordinator_snapshot_head *h = &l->head;
    if (!topic_partition_eq(h->id, l->co->id) || h->offset > l->target || h->offset < plog_start_offset(log))
        return false;
    return h->offset == 0 || plog_epoch_at(log, h->offset - 1) == h->leader_epoch;
}

static enum rc load_head(struct coordinator_load *l)
{
    if (!io_file_is_open(&l->file)) {
        char path[COORDINATOR_PATH_BYTES];
        coordinator_snapshot_path(l->co->p, "", path);
        enum rc rc = l->target == 0 ? RC_NOT_FOUND
                                    : io_file_open(l->es->shard->io, &l->file, path, IO_OPEN_READ, IO_FILE_OTHER);
        if (rc != RC_OK)
            return load_without_snapshot(l, rc);
    }
    enum rc rc = load_fill(l, &l->file, 0, COORDINATOR_SNAPSHOT_HEAD_BYTES);
    if (rc == RC_AGAIN || rc == RC_NOMEM)
        return rc;
    if (rc == RC_OK)
        rc = coordinator_snapshot_head_read(l->buffer, &l->head);
    if (rc == RC_OK && !load_snapshot_fits(l))
        rc = RC_INVALID;
    if (rc != RC_OK)
        return load_without_snapshot(l, rc == RC_EOF ? RC_CORRUPT : rc);
    l->file_at = COORDINATOR_SNAPSHOT_HEAD_BYTES;
    l->stage = LOAD_BLOCK;
    return RC_OK;
}

static enum rc load_snapshot_end(struct coordinator_load *l)
{
    io_file_close(&l->file);
    coordinators_of(l->co)->counters.snapshots_used++;
    l->co->snapshot_bytes = l->file_at;
    l->next = l->head.offset;
    l->stage = LOAD_READ;
    return RC_OK;
}

// The next block: its length and checksum first, then with its records. One without records is the last.
static enum rc load_block(struct coordinator_load *l)
{
    enum { HEAD = COORDINATOR_SNAPSHOT_BLOCK_HEAD_BYTES };
    size_t bytes = l->records.p ? HEAD + l->records.n : HEAD;
    enum rc rc = load_fill(l, &l->file, l->file_at, bytes);
    if (rc == RC_AGAIN || rc == RC_NOMEM)
        return rc;
    if (rc != RC_OK)
        return load_without_snapshot(l, rc == RC_EOF ? RC_CORRUPT : rc);
    uint32_t n = be32(l->buffer);
    if (n > BLOCK_BYTES_MAX)
        return load_without_snapshot(l, RC_CORRUPT);
    if (!l->records.p && n > 0) {
        l->records = bytes_of(l->buffer, n); // asked for
        return RC_OK;
    }
    struct bytes records = bytes_of(l->buffer + HEAD, n);
    l->records = bytes_of(NULL, 0);
    if (bytes != HEAD + n || be64(l->buffer + 4) != coordinator_snapshot_block_hash(records, l->file_at))
        return load_without_snapshot(l, RC_CORRUPT);
    l->file_at += HEAD + n;
    if (n == 0)
        return load_snapshot_end(l);
    l->records = records;
    l->stage = LOAD_BLOCK_RECORDS;
    return RC_OK;
}

static bool load_take(struct bytes *in, struct bytes *out)
{
    uint64_t n;
    if (!varint_get(in, VARINT_BYTES_MAX, &n) || n > in->n)
        return false;
    *out = bytes_of(in->p, (size_t)n);
    in->p += n;
    in->n -= (size_t)n;
    return true;
}

static enum rc load_block_records(struct coordinator_load *l)
{
    for (int i = 0; i < RECORDS_A_STEP && l->records.n > 0; i++) {
        struct bytes key, value;
        if (!load_take(&l->records, &key) || !load_take(&l->records, &value)) {
            l->records = bytes_of(NULL, 0);
            return load_without_snapshot(l, RC_CORRUPT);
        }
        l->records_applied++;
        enum rc rc = groups_apply(&l->co->groups, PRODUCER_ID_NONE, -1, key, value);
        if (rc != RC_OK)
            return rc;
    }
    if (l->records.n == 0) {
        l->records = bytes_of(NULL, 0);
        l->stage = LOAD_BLOCK;
    }
    return RC_OK;
}

// ------------------------------------------------------------------------------------------------ log

// RC_EOF: all of it is in the core and committed. RC_AGAIN: for the disk, or for the high watermark.
static enum rc load_read(struct coordinator_load *l)
{
    struct partition *p = l->co->p;
    if (l->next >= l->target)
        return p->high_watermark >= l->target ? RC_EOF : RC_AGAIN;
    int64_t bound = p->high_watermark < l->target ? p->high_watermark : l->target;
    if (l->next >= bound)
        return RC_AGAIN;
    struct plog_read read = {.offset = l->next, .bound = bound, .bytes_max = READ_BYTES, .at_least_one = true};
    if (l->read == READ_NONE)
        l->wait = (struct plog_wait){.done = load_wait_done};
    l->read = READ_NONE;
    enum rc rc = plog_read(&p->log, &read, &l->slice, &l->wait);
    if (rc == RC_AGAIN)
        l->read = READ_FLYING;
    if (rc == RC_OFFSET_OUT_OF_RANGE && l->next < plog_start_offset(&p->log)) { // it rose meanwhile
        l->next = plog_start_offset(&p->log);
        return RC_OK;
    }
    if (rc != RC_OK)
        return rc;
    if (l->slice.file)
        l->stage = LOAD_FILL;
    else
        l->next = bound; // nothing is left of what was there
    return RC_OK;
}

static enum rc load_slice(struct coordinator_load *l)
{
    enum rc rc = load_fill(l, plog_slice_file(&l->slice), l->slice.position, (size_t)l->slice.bytes);
    if (rc != RC_OK)
        return rc == RC_EOF ? RC_CORRUPT : rc;
    l->at = 0;
    l->stage = LOAD_APPLY;
    return RC_OK;
}

static struct bytes load_batch(const struct coordinator_load *l)
{
    return bytes_of(l->buffer + l->at, (size_t)l->slice.bytes - l->at);
}

static enum rc load_inflate_begin(struct coordinator_load *l, struct bytes records)
{
    if (batch_codec(&l->header) >= CODEC_COUNT)
        return RC_UNSUPPORTED_COMPRESSION_TYPE;
    if (!l->workspace)
        l->workspace = io_buffer_acquire(l->es->shard->io, CODEC_WORKSPACE_BYTES);
    if (!l->workspace)
        return RC_NOMEM;
    if (l->inflated.size_max == 0)
        buf_init(&l->inflated, BATCH_INFLATED_MAX);
    l->inflated.n = 0;
    l->inflating = true;
    return codec_reader_start(&l->codec, (enum codec)batch_codec(&l->header), records, l->workspace,
                              CODEC_WORKSPACE_BYTES);
}

static enum rc load_inflate(struct coordinator_load *l)
{
    struct bytes piece;
    enum rc rc = codec_reader_next(&l->codec, CODEC_WINDOW_BYTES, &piece);
    if (rc == RC_EOF) {
        l->inflating = false;
        batch_iter_init(&l->iter, &l->header, buf_bytes(&l->inflated));
        return RC_OK;
    }
    if (rc == RC_OK)
        buf_append(&l->inflated, piece.p, piece.n);
    return rc == RC_OK && l->inflated.failed ? RC_NOMEM : rc;
}

static enum rc load_batch_begin(struct coordinator_load *l)
{
    struct bytes b = load_batch(l);
    enum rc rc = batch_header_read(b, &l->header);
    if (rc != RC_OK)
        return RC_CORRUPT;
    b.n = batch_bytes(&l->header);
    if (batch_last_offset(&l->header) < l->next) { // the snapshot has it
        l->at += b.n;
        return RC_OK;
    }
    if (!batch_crc_ok(b))
        return RC_CORRUPT;
    struct bytes records = bytes_of(b.p + BATCH_HEADER_BYTES, b.n - BATCH_HEADER_BYTES);
    l->in_batch = true;
    if (batch_codec(&l->header) != CODEC_NONE)
        return load_inflate_begin(l, records);
    batch_iter_init(&l->iter, &l->header, records);
    return RC_OK;
}

static enum rc load_record(struct coordinator_load *l, const struct record *r)
{
    enum { CONTROL_KEY_BYTES = 4, CONTROL_ABORT = 0, CONTROL_COMMIT = 1 };
    struct groups *g = &l->co->groups;
    const struct batch_header *h = &l->header;
    if (r->offset < l->next || !r->key.p)
        return RC_OK;
    l->records_applied++;
    if (h->attributes & BATCH_ATTR_CONTROL) { // version i16, type i16
        int type = r->key.n >= CONTROL_KEY_BYTES ? be16(r->key.p + 2) : -1;
        if (type != CONTROL_ABORT && type != CONTROL_COMMIT)
            return RC_OK;
        return groups_apply_marker(g, h->producer_id, h->producer_epoch, type == CONTROL_COMMIT);
    }
    bool transactional = h->attributes & BATCH_ATTR_TRANSACTIONAL;
    return groups_apply(g, transactional ? h->producer_id : PRODUCER_ID_NONE, transactional ? h->producer_epoch : -1,
                        r->key, r->value);
}

static enum rc load_apply(struct coordinator_load *l)
{
    if (l->at == (size_t)l->slice.bytes) {
        l->next = l->slice.next_offset;
        l->co->bytes_applied += l->slice.bytes; // that no snapshot has
        plog_slice_release(&l->slice);
        l->stage = LOAD_READ;
        return RC_OK;
    }
    if (!l->in_batch)
        return load_batch_begin(l);
    if (l->inflating)
        return load_inflate(l);
    for (int i = 0; i < RECORDS_A_STEP; i++) {
        struct record r;
        if (!batch_iter_next(&l->iter, &r)) {
            l->in_batch = false;
            l->at += batch_bytes(&l->header);
            return l->iter.rc;
        }
        enum rc rc = load_record(l, &r);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

// ------------------------------------------------------------------------------------------------ the job

static enum rc load_step(struct coordinator_load *l)
{
    if (l->read == READ_FLYING || shard_timer_is_set(&l->retry))
        return RC_AGAIN;
    switch (l->stage) {
    case LOAD_OPEN:
        return load_open(l);
    case LOAD_HEAD:
        return load_head(l);
    case LOAD_BLOCK:
        return load_block(l);
    case LOAD_BLOCK_RECORDS:
        return load_block_records(l);
    case LOAD_READ:
        return load_read(l);
    case LOAD_FILL:
        return load_slice(l);
    case LOAD_APPLY:
        return load_apply(l);
    }
    UNREACHABLE();
}

static void load_retry_due(struct shard_timer *t)
{
    struct coordinator_load *l = container_of(t, struct coordinator_load, retry);
    shard_job_wake(l->es->shard, &l->job);
}

// Again from the start, with a fresh core, later.
static enum shard_job_state load_again(struct coordinator_load *l, uint64_t after_ns)
{
    load_drop_buffers(l);
    coordinator_core_end(l->co);
    l->records = bytes_of(NULL, 0);
    l->records_applied = 0;
    l->co->bytes_applied = 0;
    l->stage = LOAD_OPEN;
    if (shard_timer_set(l->es->shard, &l->retry, shard_now_ns(l->es->shard) + after_ns, load_retry_due) != RC_OK)
        return SHARD_JOB_MORE;
    return SHARD_JOB_WAIT;
}

static enum shard_job_state load_failed(struct coordinator_load *l, enum rc rc)
{
    struct coordinator *co = l->co;
    struct trace_sink *trace = l->es->engine->config.trace;
    char name[TOPIC_NAME_BYTES_MAX + 16];
    if (rc == RC_NOT_LEADER_OR_FOLLOWER) // its log is being opened
        return load_again(l, OPENING_NS);
    // A log that is neither damaged nor offline is opened again by whoever asks next.
    bool passes = rc == RC_STORAGE_ERROR && partition_check(co->p, co->leader_epoch) == RC_OK;
    if (rc == RC_NOMEM || rc == RC_IO || rc == RC_NO_FILES || passes) {
        trace_warn(trace, "%s cannot be read at offset %lld: %s; trying again", coordinator_name(co, name),
                   (long long)l->next, rc_text(rc));
        return load_again(l, RETRY_NS);
    }
    trace_error(trace, "%s cannot be read at offset %lld: %s; its groups are not served", coordinator_name(co, name),
                (long long)l->next, rc_text(rc));
    co->load = NULL;
    co->state = COORDINATOR_FAILED;
    load_free(l);
    return SHARD_JOB_DONE;
}

static enum shard_job_state load_finished(struct coordinator_load *l)
{
    struct coordinator *co = l->co;
    co->applied = l->target;
    coordinators_of(co)->counters.loaded_records += l->records_applied;
    co->load = NULL;
    load_free(l);
    coordinator_loaded(co);
    return SHARD_JOB_DONE;
}

static enum shard_job_state load_job(struct shard_job *j, uint64_t budget_ns)
{
    struct coordinator_load *l = container_of(j, struct coordinator_load, job);
    struct io *io = l->es->shard->io;
    uint64_t until_ns = io_clock_ns(io) + budget_ns;
    enum rc rc;
    while ((rc = load_step(l)) == RC_OK)
        if (io_clock_ns(io) >= until_ns)
            return SHARD_JOB_MORE;
    return rc == RC_AGAIN ? SHARD_JOB_WAIT : rc == RC_EOF ? load_finished(l) : load_failed(l, rc);
}

enum rc coordinator_load_start(struct coordinator *co)
{
    // Nothing was ever written there: no log to wait for.
    if (co->p->state == PARTITION_ONLINE && co->p->log.state == PLOG_UNMADE) {
        coordinator_loaded(co);
        return RC_OK;
    }
    struct coordinator_load *l = calloc(1, sizeof(*l));
    if (!l)
        return RC_NOMEM;
    l->co = co;
    l->es = co->es;
    co->load = l;
    shard_job_start(co->es->shard, &l->job, load_job);
    return RC_OK;
}

void coordinator_load_wake(struct coordinator *co)
{
    if (co->load)
        shard_job_wake(co->es->shard, &co->load->job);
}

void coordinator_load_stop(struct coordinator *co)
{
    struct coordinator_load *l = co->load;
    if (!l)
        return;
    co->load = NULL;
    l->co = NULL;
    shard_job_cancel(l->es->shard, &l->job);
    shard_timer_cancel(l->es->shard, &l->retry);
    if (l->read == READ_FLYING)
        l->es->coordinators->orphans++;
    else
        load_free(l);
}
