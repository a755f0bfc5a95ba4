// SPDX-License-Identifier: Apache-2.0
//
// Input: one byte chooses the message, one the version, the rest is its body.
#include "fuzz.h"
#include "message.h"
#include "wire/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n < 2)
        return 0;
    const struct schema_message *m = kafka_messages[p[0] % ARRAY_COUNT(kafka_messages)];
    int16_t version = (int16_t)(m->version_min + p[1] % (m->version_max - m->version_min + 1));
    struct dec d = dec_of(bytes_of(p + 2, n - 2));
    message_check(m, &d, version);
    return 0;
}
