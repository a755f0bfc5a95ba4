// SPDX-License-Identifier: Apache-2.0
//
// The writer's state is a stack of "a comma is due" bits; strings are copied in runs of harmless bytes.
#include "cli/json.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

void json_init(struct json *j, struct buf *out, bool pretty)
{
    *j = (struct json){.out = out, .pretty = pretty};
}

static void line(struct json *j)
{
    if (!j->pretty)
        return;
    buf_append(j->out, "\n", 1);
    for (uint32_t i = 0; i < j->depth; i++)
        buf_append(j->out, "  ", 2);
}

// Before a value or key: the comma that is due.
static void separate(struct json *j)
{
    if (j->after_key) {
        j->after_key = false;
        return;
    }
    if (j->comma[j->depth])
        buf_append(j->out, ",", 1);
    if (j->depth > 0)
        line(j);
    j->comma[j->depth] = true;
}

static void open(struct json *j, char c)
{
    separate(j);
    buf_append(j->out, &c, 1);
    ASSERT(j->depth + 1 < JSON_DEPTH_MAX);
    j->comma[++j->depth] = false;
}

static void close(struct json *j, char c)
{
    ASSERT(j->depth > 0 && !j->after_key);
    bool any = j->comma[j->depth--];
    if (any)
        line(j);
    buf_append(j->out, &c, 1);
}

void json_put_object(struct json *j)
{
    open(j, '{');
}

void json_put_object_end(struct json *j)
{
    close(j, '}');
}

void json_put_array(struct json *j)
{
    open(j, '[');
}

void json_put_array_end(struct json *j)
{
    close(j, ']');
}

// Length of the UTF-8 sequence at s, 0 when it is none (overlong forms, surrogates and stray bytes included).
static size_t utf8_length(const uint8_t *s, size_t n)
{
    if (s[0] < 0x80)
        return 1;
    size_t want = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || n < want)
        return 0;
    for (size_t i = 1; i < want; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
        (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return want;
}

bool json_is_utf8(struct bytes s)
{
    size_t i = 0;
    while (i < s.n) {
        if (s.p[i] < 0x80) {
            i++;
            continue;
        }
        size_t n = utf8_length(s.p + i, s.n - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

static void escape(struct buf *out, uint8_t c)
{
    static const char letters[32] = {['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    if (c < 32 && letters[c])
        buf_printf(out, "\\%c", letters[c]);
    else if (c < 32 || c == 127)
        buf_printf(out, "\\u%04x", c);
    else
        buf_printf(out, "\\%c", c);
}

static void quote(struct buf *out, struct bytes s)
{
    buf_append(out, "\"", 1);
    size_t run = 0, i = 0;
    while (i < s.n) {
        uint8_t c = s.p[i];
        if (c >= 32 && c < 127 && c != '"' && c != '\\') {
            i++;
            continue;
        }
        size_t n = c < 128 ? 0 : utf8_length(s.p + i, s.n - i);
        if (n) {
            i += n;
            continue;
        }
        if (i > run)
            buf_append(out, s.p + run, i - run);
        if (c < 128)
            escape(out, c);
        else
            buf_append(out, "\xef\xbf\xbd", 3);
        run = ++i;
    }
    if (i > run)
        buf_append(out, s.p + run, i - run);
    buf_append(out, "\"", 1);
}

void json_put_key(struct json *j, const char *key)
{
    separate(j);
    quote(j->out, bytes_str(key));
    buf_append(j->out, j->pretty ? ": " : ":", j->pretty ? 2 : 1);
    j->after_key = true;
}

void json_put_int(struct json *j, int64_t v)
{
    separate(j);
    buf_printf(j->out, "%lld", (long long)v);
}

void json_put_real(struct json *j, double v, int decimals)
{
    separate(j);
    buf_printf(j->out, "%.*f", decimals, v);
}

void json_put_bool(struct json *j, bool v)
{
    separate(j);
    buf_printf(j->out, "%s", v ? "true" : "false");
}

void json_put_null(struct json *j)
{
    separate(j);
    buf_append(j->out, "null", 4);
}

void json_put_text(struct json *j, struct bytes s)
{
    if (!s.p) {
        json_put_null(j);
        return;
    }
    separate(j);
    quote(j->out, s);
}

void json_put_key_int(struct json *j, const char *key, int64_t v)
{
    json_put_key(j, key);
    json_put_int(j, v);
}

void json_put_key_bool(struct json *j, const char *key, bool v)
{
    json_put_key(j, key);
    json_put_bool(j, v);
}

void json_put_key_text(struct json *j, const char *key, struct bytes s)
{
    json_put_key(j, key);
    json_put_text(j, s);
}

void json_put_key_str(struct json *j, const char *key, const char *s)
{
    json_put_key_text(j, key, s ? bytes_str(s) : bytes_of(NULL, 0));
}

void json_put_key_data(struct json *j, const char *key, struct bytes s)
{
    if (!s.p || json_is_utf8(s)) {
        json_put_key_text(j, key, s);
        return;
    }
    char name[64];
    snprintf(name, sizeof(name), "%s_base64", key);
    json_put_key(j, name);
    separate(j);
    buf_append(j->out, "\"", 1);
    base64_append(j->out, s);
    buf_append(j->out, "\"", 1);
}
