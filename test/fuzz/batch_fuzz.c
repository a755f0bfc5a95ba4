// SPDX-License-Identifier: Apache-2.0
//
// Input: one byte of rules, then what a producer sent for a partition. The CRC is set right unless the rules say not
// to, so that more than the CRC is tested. Judging in one go and in small steps must agree, and what is accepted must
// be a batch that the reader of records takes apart without complaint.
#include <stdlib.h>

#include "base/assert.h"
#include "fuzz.h"
#include "wire/batch_check.h"
#include "wire/crc32c.h"

static _Alignas(16) uint8_t workspace[CODEC_WORKSPACE_BYTES];

static void check_accepted(struct bytes batch, const struct batch_check *c)
{
    struct buf scratch;
    struct bytes records;
    struct batch_iter it;
    struct record r;
    buf_init(&scratch, 1 << 24);
    ASSERT(batch_crc_ok(batch));
    ASSERT(batch_inflate(batch, &scratch, &records, workspace, sizeof(workspace)) == RC_OK);
    ASSERT(records.n == c->inflated_bytes);
    batch_iter_init(&it, &c->header, records);
    int64_t offset = c->header.base_offset;
    while (batch_iter_next(&it, &r)) {
        ASSERT(r.offset == offset++);
        ASSERT(r.timestamp <= c->max_timestamp || c->max_timestamp == -1);
        struct bytes key, value;
        uint32_t headers = 0;
        while (record_header_next(&r.headers, &key, &value))
            headers++;
        ASSERT(headers == r.header_count);
    }
    ASSERT(it.rc == RC_OK && it.read == c->header.record_count);
    buf_deinit(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n < 1)
        return 0;
    struct batch_rules rules = batch_rules_default();
    rules.compacted = p[0] & 1;
    rules.log_append_time = p[0] & 2;
    rules.now_ms = 1500;
    rules.timestamp_before_max_ms = p[0] & 4 ? 100 : INT64_MAX;
    rules.produce_version = p[0] & 8 ? 6 : 11;
    rules.inflate_bytes_max = 1 << 24;
    size_t size = n - 1;
    uint8_t *batch = malloc(size + 1), *other = malloc(size + 1);
    memcpy(batch, p + 1, size);
    if (size >= BATCH_HEADER_BYTES && !(p[0] & 16))
        put_be32(batch + 17, crc32c(0, batch + 21, size - 21));
    memcpy(other, batch, size);
    static struct batch_check c, steps; // large
    enum rc rc = batch_check_run(&c, batch, size, &rules, workspace, sizeof(workspace));
    enum rc again = batch_check_start(&steps, other, size, &rules, workspace, sizeof(workspace));
    while (again == RC_AGAIN)
        again = batch_check_step(&steps, 1 + (p[0] >> 5));
    ASSERT(again == rc); // how much of a damaged stream is seen before the damage is the library's affair
    ASSERT(memcmp(batch, other, size) == 0);
    if (rc == RC_OK)
        check_accepted(bytes_of(batch, size), &c);
    free(batch);
    free(other);
    return 0;
}
