// SPDX-License-Identifier: Apache-2.0
//
// How weir consume shows a record: as text, by a format, or as JSON.
#include <string.h>

#include "base/assert.h"
#include "cli/consume.h"
#include "cli/date.h"

static char escape_of(char c)
{
    return c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == '0' ? 0 : c;
}

bool consume_format_parse(struct consume_format *f, char *text)
{
    char *at = text, *piece = text;
    f->count = 0;
    for (const char *s = text;; s++) {
        if (*s == '\\' && s[1]) {
            *at++ = escape_of(*++s);
            continue;
        }
        if (*s == '%' && s[1] == '%') {
            *at++ = *++s;
            continue;
        }
        if (*s && *s != '%') {
            *at++ = *s;
            continue;
        }
        char letter = *s ? s[1] : 0;
        if (f->count == CONSUME_PIECES_MAX || (*s && (!letter || !strchr("tpoksKSTDh", letter))))
            return false;
        f->pieces[f->count++] = (struct consume_piece){.text = bytes_of(piece, (size_t)(at - piece)), .letter = letter};
        piece = at;
        if (!*s)
            return true;
        s++;
    }
}

static void put(struct buf *out, struct bytes b)
{
    if (b.n)
        buf_append(out, b.p, b.n);
}

static void put_int(struct buf *out, int64_t v)
{
    char text[24], *p = text + sizeof(text);
    uint64_t rest = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do
        *--p = (char)('0' + rest % 10);
    while (rest /= 10);
    if (v < 0)
        *--p = '-';
    buf_append(out, p, (size_t)(text + sizeof(text) - p));
}

static void put_data(struct buf *out, struct bytes b)
{
    put(out, b.p ? b : bytes_str("NULL"));
}

// a=1,b=2
static void put_headers(struct buf *out, const struct record *r)
{
    struct bytes left = r->headers, key, value;
    for (bool first = true; record_header_next(&left, &key, &value); first = false) {
        if (!first)
            buf_append(out, ",", 1);
        put(out, key);
        buf_append(out, "=", 1);
        put_data(out, value);
    }
}

static void put_piece(struct consume *s, char letter, const struct client_topic *topic, int32_t partition,
                      const struct record *r)
{
    struct buf *out = &s->cli->out;
    char date[DATE_TEXT_BYTES];
    switch (letter) {
    case 't':
        put(out, bytes_str(topic->name));
        break;
    case 'p':
        put_int(out, partition);
        break;
    case 'o':
        put_int(out, r->offset);
        break;
    case 'k':
        put_data(out, r->key);
        break;
    case 's':
        put_data(out, r->value);
        break;
    case 'K':
        put_int(out, r->key.p ? (int64_t)r->key.n : -1);
        break;
    case 'S':
        put_int(out, r->value.p ? (int64_t)r->value.n : -1);
        break;
    case 'T':
        put_int(out, r->timestamp);
        break;
    case 'D':
        date_format(r->timestamp, date);
        put(out, bytes_str(date));
        break;
    case 'h':
        put_headers(out, r);
        break;
    default:
        UNREACHABLE();
    }
}

static void print_json(struct consume *s, const struct client_topic *topic, int32_t partition, const struct record *r)
{
    struct bytes left = r->headers, key, value;
    struct json j;
    json_init(&j, &s->cli->out, false);
    json_put_object(&j);
    json_put_key_str(&j, "topic", topic->name);
    json_put_key_int(&j, "partition", partition);
    json_put_key_int(&j, "offset", r->offset);
    json_put_key_int(&j, "timestamp", r->timestamp);
    json_put_key_data(&j, "key", r->key);
    json_put_key_data(&j, "value", r->value);
    json_put_key(&j, "headers");
    json_put_array(&j);
    while (record_header_next(&left, &key, &value)) {
        json_put_object(&j);
        json_put_key_text(&j, "key", key);
        json_put_key_data(&j, "value", value);
        json_put_object_end(&j);
    }
    json_put_array_end(&j);
    json_put_object_end(&j);
    buf_append(&s->cli->out, "\n", 1);
}

static void console_data(const struct consume_console *f, struct buf *out, struct bytes b)
{
    put(out, b.p ? b : f->null_literal);
}

static void console_headers(const struct consume_console *f, struct buf *out, const struct record *r)
{
    struct bytes left = r->headers, key, value;
    bool any = false;
    for (; record_header_next(&left, &key, &value); any = true) {
        if (any)
            put(out, f->headers_separator);
        put(out, key);
        put(out, bytes_str(":"));
        console_data(f, out, value);
    }
    if (!any)
        put(out, bytes_str("NO_HEADERS"));
}

// What stands behind a field: the separator when another follows, else the end of the line.
static void console_separate(const struct consume_console *f, struct buf *out, bool more)
{
    put(out, more ? f->key_separator : f->line_separator);
}

// As kafka-console-consumer's default formatter has it.
static void print_console(struct consume *s, const struct consume_console *f, int32_t partition, const struct record *r)
{
    struct buf *out = &s->cli->out;
    if (f->timestamp) {
        buf_printf(out, "%s:%lld", s->append_time ? "LogAppendTime" : "CreateTime", (long long)r->timestamp);
        console_separate(f, out, f->partition || f->offset || f->headers || f->key || f->value);
    }
    if (f->partition) {
        buf_printf(out, "Partition:%d", partition);
        console_separate(f, out, f->offset || f->headers || f->key || f->value);
    }
    if (f->offset) {
        buf_printf(out, "Offset:%lld", (long long)r->offset);
        console_separate(f, out, f->headers || f->key || f->value);
    }
    if (f->headers) {
        console_headers(f, out, r);
        console_separate(f, out, f->key || f->value);
    }
    if (f->key) {
        console_data(f, out, r->key);
        console_separate(f, out, f->value);
    }
    if (f->value) {
        console_data(f, out, r->value);
        console_separate(f, out, false);
    }
}

void consume_print(struct consume *s, const struct client_topic *topic, int32_t partition, const struct record *r)
{
    const struct consume_options *o = s->options;
    struct buf *out = &s->cli->out;
    if (o->console) {
        print_console(s, o->console, partition, r);
    } else if (o->common.json) {
        print_json(s, topic, partition, r);
    } else if (s->format.count) {
        for (uint32_t i = 0; i < s->format.count; i++) {
            put(out, s->format.pieces[i].text);
            if (s->format.pieces[i].letter)
                put_piece(s, s->format.pieces[i].letter, topic, partition, r);
        }
    } else if (o->output == CONSUME_TEXT || o->output == CONSUME_RAW) {
        if (s->key_delimiter.p) {
            put(out, r->key);
            put(out, s->key_delimiter);
        }
        put(out, r->value);
        if (o->output == CONSUME_TEXT)
            put(out, s->delimiter);
    }
}
