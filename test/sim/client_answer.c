// SPDX-License-Identifier: Apache-2.0
#include "client_answer.h"

#include "base/assert.h"
#include "wire/frame.h"

bool client_answer_decode(struct sim *sim, const struct client_request *r, struct bytes body, struct arena *a, void *out)
{
    struct dec d = dec_of(body);
    const struct schema_message *message = wire_response_find(r->message->key);
    ASSERT(message);
    enum rc rc = schema_decode(message, &d, r->version, a, out);
    if (rc == RC_OK && dec_left(&d) == 0)
        return true;
    sim_fail(sim, "the answer to %s version %d cannot be read: %s, %zu bytes left", r->message->name, r->version,
             rc_name(rc), dec_left(&d));
    return false;
}
