// SPDX-License-Identifier: Apache-2.0
//
// What handlers share about memory; see api.h.
#include "broker/api.h"

#include <stdio.h>

void api_answer_reserve(struct request *rq, size_t bytes)
{
    struct arena *a = &rq->arena;
    a->limit_bytes = bytes > SIZE_MAX - a->limit_bytes ? SIZE_MAX : a->limit_bytes + bytes;
}

void api_fail_memory(struct request *rq)
{
    struct session *s = rq->session;
    char client[REQUEST_CLIENT_TEXT_BYTES], text[REQUEST_CLIENT_TEXT_BYTES + 64];
    snprintf(text, sizeof(text), "no memory for the answer to %s (%s)", rq->api->name, request_client(rq, client));
    if (s)
        session_close(s, BROKER_CLOSE_LIMIT, text);
    request_answer_none(rq, false);
}
