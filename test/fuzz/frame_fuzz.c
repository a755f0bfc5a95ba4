// SPDX-License-Identifier: Apache-2.0
//
// Input: a request frame without its length.
#include "fuzz.h"
#include "message.h"
#include "wire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct frame_request q;
    struct dec body;
    enum rc rc = frame_request_parse(bytes_of(p, n), &q, &body);
    ASSERT(rc == RC_OK || rc == RC_MALFORMED || rc == RC_UNSUPPORTED || rc == RC_UNSUPPORTED_VERSION);
    if (rc == RC_OK)
        message_check(q.message, &body, q.api_version);
    if (n >= FRAME_HEADER_BYTES_MIN && rc != RC_MALFORMED)
        ASSERT(q.correlation_id == (int32_t)be32(p + 4));
    return 0;
}
