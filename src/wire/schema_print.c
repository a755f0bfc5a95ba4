// SPDX-License-Identifier: Apache-2.0
//
// Shows any message as text, by its table; see schema.h.
#include <inttypes.h>

#include "wire/schema_walk.h"

struct print {
    struct buf *out;
    const struct schema *schema;
    size_t value_bytes_max;
    int16_t version;
};

static void print_layout(const struct print *c, uint16_t layout, const uint8_t *in);

static void print_bytes(const struct print *c, struct bytes b)
{
    if (!b.p) {
        buf_printf(c->out, "null");
        return;
    }
    buf_put_u8(c->out, '"');
    for (size_t i = 0; i < b.n && i < c->value_bytes_max; i++) {
        if (b.p[i] < 0x20 || b.p[i] >= 0x7f || b.p[i] == '"' || b.p[i] == '\\')
            buf_printf(c->out, "\\u%04x", b.p[i]);
        else
            buf_put_u8(c->out, b.p[i]);
    }
    buf_printf(c->out, b.n > c->value_bytes_max ? "...\"" : "\"");
}

static void print_value(const struct print *c, const struct schema_field *f, const uint8_t *at)
{
    switch ((enum schema_kind)f->kind) {
    case SCHEMA_BOOL:
        buf_printf(c->out, *(const bool *)at ? "true" : "false");
        break;
    case SCHEMA_I8:
        buf_printf(c->out, "%d", *(const int8_t *)at);
        break;
    case SCHEMA_I16:
        buf_printf(c->out, "%d", *(const int16_t *)at);
        break;
    case SCHEMA_U16:
        buf_printf(c->out, "%u", *(const uint16_t *)at);
        break;
    case SCHEMA_I32:
        buf_printf(c->out, "%" PRId32, *(const int32_t *)at);
        break;
    case SCHEMA_I64:
        buf_printf(c->out, "%" PRId64, *(const int64_t *)at);
        break;
    case SCHEMA_F64:
        buf_printf(c->out, "%.17g", *(const double *)at);
        break;
    case SCHEMA_UUID: {
        char text[UUID_TEXT_CHARS + 1];
        uuid_format(*(const struct uuid *)at, text);
        buf_printf(c->out, "\"%s\"", text);
        break;
    }
    case SCHEMA_STRING:
    case SCHEMA_BYTES:
        print_bytes(c, *(const struct bytes *)at);
        break;
    case SCHEMA_RECORDS:
        buf_printf(c->out, "{\"bytes\": %zu}", ((const struct records *)at)->bytes.n);
        break;
    case SCHEMA_STRUCT:
        print_layout(c, f->layout, at);
        break;
    }
}

static void print_field(const struct print *c, const struct schema_field *f, const uint8_t *at)
{
    if (f->flags & SCHEMA_ARRAY) {
        const uint8_t *p = *(const uint8_t *const *)at;
        uint32_t count = *field_count_at((void *)(uintptr_t)at);
        buf_printf(c->out, p || !(f->flags & SCHEMA_NULLABLE) ? "[" : "null");
        for (uint32_t i = 0; i < count; i++) {
            buf_printf(c->out, i ? ", " : "");
            print_value(c, f, p + i * field_value_size(c->schema, f));
        }
        buf_printf(c->out, p || !(f->flags & SCHEMA_NULLABLE) ? "]" : "");
    } else if (field_is_pointer(f)) {
        const uint8_t *p = *(const uint8_t *const *)at;
        if (p)
            print_layout(c, f->layout, p);
        else
            buf_printf(c->out, "null");
    } else {
        print_value(c, f, at);
    }
}

static void print_layout(const struct print *c, uint16_t layout, const uint8_t *in)
{
    const struct schema_layout *l = &c->schema->layouts[layout];
    const char *separator = "";
    buf_put_u8(c->out, '{');
    for (uint16_t i = 0; i < l->field_count; i++) {
        const struct schema_field *f = &c->schema->fields[l->field_first + i];
        if (!field_exists(f, c->version))
            continue;
        buf_printf(c->out, "%s\"%s\": ", separator, c->schema->text + f->name);
        print_field(c, f, in + f->offset);
        separator = ", ";
    }
    buf_put_u8(c->out, '}');
}

void schema_print(const struct schema_message *m, int16_t version, const void *in, size_t value_bytes_max,
                  struct buf *out)
{
    struct print c = {.out = out, .schema = m->schema, .value_bytes_max = value_bytes_max, .version = version};
    print_layout(&c, m->layout, in);
}
