// SPDX-License-Identifier: Apache-2.0
//
// See partition_search.h. Usually the batch the time index points to holds the record. It does not when its records
// that match lie below log start; then the batches behind it are looked at one by one.
#include "engine/partition_search.h"

#include <stdlib.h>

#include "engine/record_search.h"

enum search_stage { SEARCH_FIND, SEARCH_NEXT, SEARCH_READ, SEARCH_WALK, SEARCH_FOUND, SEARCH_NOT_FOUND };

struct partition_search {
    struct engine_shard *es;
    struct shard_job *job;
    int64_t timestamp_ms, bound;
    enum search_stage stage;
    bool waiting;
    struct plog_wait wait;
    struct plog_slice slice; // the batch being looked at, pinned
    int64_t next_offset;
    uint8_t *batch; // an io buffer of batch_bytes
    size_t batch_bytes;
    uint8_t *workspace; // an io buffer for the codec
    struct record_search records;
};

static void search_woken(struct plog_wait *w)
{
    struct partition_search *s = container_of(w, struct partition_search, wait);
    s->waiting = false;
    shard_job_wake(s->es->shard, s->job);
}

struct partition_search *partition_search_create(struct engine_shard *es, int64_t timestamp_ms, int64_t bound,
                                                 struct shard_job *job)
{
    struct partition_search *s = calloc(1, sizeof(*s));
    if (s)
        *s = (struct partition_search){
            .es = es, .job = job, .timestamp_ms = timestamp_ms, .bound = bound, .wait.done = search_woken};
    return s;
}

static void search_drop_batch(struct partition_search *s)
{
    io_buffer_release(s->es->shard->io, s->batch, s->batch_bytes);
    s->batch = NULL;
    plog_slice_release(&s->slice);
    s->slice = (struct plog_slice){0};
}

void partition_search_destroy(struct partition_search *s)
{
    ASSERT(!s->waiting);
    search_drop_batch(s);
    io_buffer_release(s->es->shard->io, s->workspace, CODEC_WORKSPACE_BYTES);
    free(s);
}

bool partition_search_is_waiting(const struct partition_search *s)
{
    return s->waiting;
}

bool partition_search_found(const struct partition_search *s, int64_t *offset, int64_t *timestamp)
{
    if (s->stage != SEARCH_FOUND)
        return false;
    *offset = s->records.found_offset;
    *timestamp = s->records.found_timestamp;
    return true;
}

// ------------------------------------------------------------------------------------------------ stages

static enum rc search_find(struct partition_search *s, struct partition *p)
{
    struct plog_time_found found = {0};
    enum rc rc = s->timestamp_ms == OFFSET_SPEC_MAX_TIMESTAMP
                     ? plog_find_timestamp_max(&p->log, s->bound, &found, &s->wait)
                     : plog_find_timestamp(&p->log, s->timestamp_ms, s->bound, &found, &s->wait);
    if (rc != RC_OK) {
        s->waiting = rc == RC_AGAIN;
        return rc;
    }
    if (!found.found) {
        s->stage = SEARCH_NOT_FOUND;
        return RC_OK;
    }
    if (s->timestamp_ms == OFFSET_SPEC_MAX_TIMESTAMP)
        s->timestamp_ms = found.batch_timestamp_max;
    s->slice = found.batch;
    s->records.timestamp_ms = s->timestamp_ms;
    s->records.from_offset = found.from_offset;
    s->stage = SEARCH_READ;
    return RC_OK;
}

static enum rc search_next(struct partition_search *s, struct partition *p)
{
    if (s->next_offset >= s->bound) {
        s->stage = SEARCH_NOT_FOUND;
        return RC_OK;
    }
    struct plog_read read = {.offset = s->next_offset, .bound = s->bound, .bytes_max = 1, .at_least_one = true};
    enum rc rc = plog_read(&p->log, &read, &s->slice, &s->wait);
    if (rc != RC_OK) {
        s->waiting = rc == RC_AGAIN;
        return rc;
    }
    s->stage = s->slice.file ? SEARCH_READ : SEARCH_NOT_FOUND;
    return RC_OK;
}

// The batch into memory, if its header does not rule it out.
static enum rc search_read(struct partition_search *s)
{
    struct io *io = s->es->shard->io;
    struct io_file *file = plog_slice_file(&s->slice);
    uint8_t head[BATCH_HEADER_BYTES];
    struct batch_header h;
    size_t got = 0;
    enum rc rc = io_file_read_now(file, head, sizeof(head), s->slice.position, &got);
    if (rc != RC_OK)
        return rc;
    if (got != sizeof(head) || batch_header_read(bytes_of(head, got), &h) == RC_CORRUPT ||
        batch_bytes(&h) > s->slice.bytes)
        return RC_CORRUPT;
    s->next_offset = batch_last_offset(&h) + 1;
    s->stage = SEARCH_WALK;
    s->batch_bytes = batch_bytes(&h);
    s->batch = io_buffer_acquire(io, s->batch_bytes);
    if (s->batch && record_search_needs_workspace(&h) && !s->workspace)
        s->workspace = io_buffer_acquire(io, CODEC_WORKSPACE_BYTES);
    if (!s->batch || (record_search_needs_workspace(&h) && !s->workspace))
        return RC_NOMEM;
    rc = io_file_read_now(file, s->batch, s->batch_bytes, s->slice.position, &got);
    if (rc != RC_OK || got != s->batch_bytes)
        return rc != RC_OK ? rc : RC_CORRUPT;
    return record_search_start(&s->records, bytes_of(s->batch, s->batch_bytes), s->workspace,
                               s->workspace ? CODEC_WORKSPACE_BYTES : 0);
}

// What the walk of one batch came to. RC_AGAIN stays.
static enum rc search_walked(struct partition_search *s, enum rc rc)
{
    if (rc == RC_AGAIN)
        return rc;
    bool below = rc == RC_OK && s->records.found_offset < s->bound;
    search_drop_batch(s);
    if (rc != RC_OK && rc != RC_EOF)
        return rc == RC_MALFORMED ? RC_CORRUPT : rc;
    s->stage = rc == RC_EOF ? SEARCH_NEXT : below ? SEARCH_FOUND : SEARCH_NOT_FOUND;
    return RC_OK;
}

enum rc partition_search_step(struct partition_search *s, struct partition *p, uint64_t budget_ns)
{
    enum { STEP_US = 100 };
    struct io *io = s->es->shard->io;
    uint64_t begin_ns = io_clock_ns(io);
    if (s->waiting)
        return RC_AGAIN;
    for (;;) {
        enum rc rc = RC_OK;
        switch (s->stage) {
        case SEARCH_FIND:
            rc = search_find(s, p);
            break;
        case SEARCH_NEXT:
            rc = search_next(s, p);
            break;
        case SEARCH_READ:
            rc = search_read(s);
            if (rc != RC_AGAIN)
                rc = search_walked(s, rc);
            else
                rc = RC_OK; // to be walked
            break;
        case SEARCH_WALK:
            rc = search_walked(s, record_search_step(&s->records, STEP_US));
            break;
        case SEARCH_FOUND:
        case SEARCH_NOT_FOUND:
            return RC_OK;
        }
        if (rc != RC_OK && (rc != RC_AGAIN || s->waiting))
            return rc;
        if (io_clock_ns(io) - begin_ns > budget_ns)
            return s->stage == SEARCH_FOUND || s->stage == SEARCH_NOT_FOUND ? RC_OK : RC_AGAIN;
    }
}
