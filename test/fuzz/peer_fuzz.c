// SPDX-License-Identifier: Apache-2.0
//
// Input: one byte chooses the message between nodes, the rest is its body.
#include "fuzz.h"
#include "message.h"
#include "wire/peer_messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n < 1)
        return 0;
    const struct schema_message *m = peer_messages[p[0] % ARRAY_COUNT(peer_messages)];
    struct dec d = dec_of(bytes_of(p + 1, n - 1));
    message_check(m, &d, m->version_max);
    return 0;
}
