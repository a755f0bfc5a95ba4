// SPDX-License-Identifier: Apache-2.0
//
// One JSON object a line: {"key", "value", "headers", "partition", "timestamp"}, as weir consume --json writes them.
// headers are an object, or an array of {"key", "value"} where order or repeated names matter.
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/produce.h"

static int bad(struct produce *s, const char *what)
{
    return cli_fail(s->cli, "line %llu: %s", (unsigned long long)s->line, what);
}

static struct bytes text_of(const json_t *v)
{
    return bytes_of(json_string_value(v), json_string_length(v));
}

// The member `name` of an object, or its bytes under `name_base64`; null when neither is there. What is neither text
// nor null is taken as its JSON text. False: bad base64.
static bool take_data(struct produce *s, const json_t *o, enum produce_place place, struct bytes *out)
{
    static const char *const names[][2] = {{"key", "key_base64"}, {"value", "value_base64"}};
    const json_t *v = json_object_get(o, names[place][0]), *coded = json_object_get(o, names[place][1]);
    struct buf *kept = &s->decoded[place];
    *out = bytes_of(NULL, 0);
    kept->n = 0;
    if (json_is_string(coded)) {
        if (!base64_decode(text_of(coded), kept))
            return false;
        *out = kept->n ? buf_bytes(kept) : bytes_str("");
    } else if (json_is_string(v)) {
        *out = text_of(v);
    } else if (v && !json_is_null(v)) {
        char *dumped = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
        if (dumped)
            buf_append(kept, dumped, strlen(dumped));
        free(dumped);
        *out = buf_bytes(kept);
    }
    return true;
}

static bool take_header(struct produce *s, const char *key, size_t key_bytes, const json_t *value,
                        struct producer_record *r)
{
    if (r->header_count == PRODUCE_HEADERS_MAX || (!json_is_string(value) && !json_is_null(value)))
        return false;
    s->headers[r->header_count++] = (struct record_header){
        .key = bytes_of(key, key_bytes), .value = json_is_null(value) ? bytes_of(NULL, 0) : text_of(value)};
    return true;
}

static bool take_headers(struct produce *s, json_t *headers, struct producer_record *r)
{
    size_t i;
    json_t *v;
    if (json_is_array(headers)) {
        json_array_foreach(headers, i, v)
        {
            const json_t *name = json_object_get(v, "key");
            if (!json_is_string(name) ||
                !take_header(s, json_string_value(name), json_string_length(name), json_object_get(v, "value"), r))
                return false;
        }
        return true;
    }
    for (void *at = json_object_iter(headers); at; at = json_object_iter_next(headers, at)) {
        const char *key = json_object_iter_key(at);
        if (!take_header(s, key, json_object_iter_key_len(at), json_object_iter_value(at), r))
            return false;
    }
    return true;
}

static int send_object(struct produce *s, json_t *o, struct producer_record *r)
{
    const json_t *partition = json_object_get(o, "partition"), *timestamp = json_object_get(o, "timestamp");
    json_t *headers = json_object_get(o, "headers");
    if (!take_data(s, o, PRODUCE_KEY, &r->key) || !take_data(s, o, PRODUCE_VALUE, &r->value))
        return bad(s, "key_base64 and value_base64 want standard base64");
    if (json_is_integer(partition) && r->partition < 0)
        r->partition = (int32_t)json_integer_value(partition);
    if (json_is_integer(timestamp) && !s->options->timestamp_ms_text)
        r->timestamp = json_integer_value(timestamp);
    if (headers && !json_is_null(headers) && !take_headers(s, headers, r))
        return bad(s, "headers want an object of texts, or an array of {\"key\", \"value\"}");
    return produce_record(s, r);
}

int produce_json_line(struct produce *s, struct bytes line)
{
    json_error_t error;
    struct producer_record r = {.partition = (int32_t)s->options->partition,
                                .timestamp = s->timestamp_ms,
                                .headers = s->headers,
                                .header_count = s->fixed_headers};
    if (line.n == 0)
        return CLI_OK;
    for (size_t i = 0; i < ARRAY_COUNT(s->decoded) && s->decoded[i].size_max == 0; i++)
        buf_init(&s->decoded[i], 1 << 30);
    json_t *o = json_loadb((const char *)line.p, line.n, JSON_ALLOW_NUL, &error);
    if (!json_is_object(o)) {
        int code = bad(s, o ? "not a JSON object" : error.text);
        json_decref(o);
        return code;
    }
    int code = send_object(s, o, &r);
    json_decref(o);
    return code;
}

void produce_json_deinit(struct produce *s)
{
    for (size_t i = 0; i < ARRAY_COUNT(s->decoded); i++)
        buf_deinit(&s->decoded[i]);
}
