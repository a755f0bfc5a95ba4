// SPDX-License-Identifier: Apache-2.0
//
// Writes any message by its table; see schema.h.
#include "wire/schema_walk.h"

struct encode {
    struct enc *e;
    const struct schema *schema;
    int16_t version;
    bool flexible;
};

static void encode_layout(struct encode *c, uint16_t layout, const uint8_t *in);

// One value, not an array.
static void encode_value(struct encode *c, const struct schema_field *f, bool nullable, const uint8_t *at)
{
    struct enc *e = c->e;
    bool compact = c->flexible && !(f->flags & SCHEMA_NOT_COMPACT);
    switch ((enum schema_kind)f->kind) {
    case SCHEMA_BOOL:
        enc_i8(e, *(const bool *)at);
        break;
    case SCHEMA_I8:
        enc_i8(e, *(const int8_t *)at);
        break;
    case SCHEMA_I16:
    case SCHEMA_U16:
        enc_i16(e, *(const int16_t *)at);
        break;
    case SCHEMA_I32:
        enc_i32(e, *(const int32_t *)at);
        break;
    case SCHEMA_I64:
    case SCHEMA_F64: {
        int64_t v;
        memcpy(&v, at, sizeof(v));
        enc_i64(e, v);
        break;
    }
    case SCHEMA_UUID:
        enc_raw(e, at, sizeof(struct uuid));
        break;
    case SCHEMA_STRING:
        enc_string(e, *(const struct bytes *)at, compact, nullable);
        break;
    case SCHEMA_BYTES:
        enc_bytes(e, *(const struct bytes *)at, compact, nullable);
        break;
    case SCHEMA_RECORDS:
        enc_records(e, *(const struct records *)at, compact, nullable);
        break;
    case SCHEMA_STRUCT:
        encode_layout(c, f->layout, at);
        break;
    }
}

static void encode_array(struct encode *c, const struct schema_field *f, bool nullable, const uint8_t *at)
{
    const uint8_t *p = *(const uint8_t *const *)at;
    uint32_t count = *field_count_at((void *)(uintptr_t)at);
    ASSERT(p || count == 0);
    enc_count(c->e, p == NULL && nullable ? -1 : (int64_t)count, c->flexible);
    size_t size = field_value_size(c->schema, f);
    for (uint32_t i = 0; i < count; i++)
        encode_value(c, f, false, p + i * size);
}

static void encode_pointer(struct encode *c, const struct schema_field *f, bool nullable, const uint8_t *at)
{
    const uint8_t *p = *(const uint8_t *const *)at;
    ASSERT(p || nullable);
    if (nullable)
        enc_i8(c->e, p ? 1 : -1);
    if (p)
        encode_layout(c, f->layout, p);
}

static void encode_field(struct encode *c, const struct schema_field *f, const uint8_t *at)
{
    bool nullable = field_nullable(f, c->version);
    if (f->flags & SCHEMA_ARRAY)
        encode_array(c, f, nullable, at);
    else if (field_is_pointer(f))
        encode_pointer(c, f, nullable, at);
    else
        encode_value(c, f, nullable, at);
}

static bool tag_wanted(const struct encode *c, const struct schema_field *f, const uint8_t *in)
{
    return field_exists(f, c->version) && field_tagged(f, c->version) &&
           !field_is_default(c->schema, f, in + f->offset);
}

// {tag, size, bytes}. The size is known behind the bytes: most need one byte, the rest move by what more it takes.
static void encode_tag(struct encode *c, const struct schema_field *f, const uint8_t *in)
{
    struct enc *e = c->e;
    uint32_t holes = e->hole_count;
    enc_uvarint(e, f->tag);
    size_t at = e->buf->n;
    enc_i8(e, 0);
    encode_field(c, f, in + f->offset);
    ASSERT(e->hole_count == holes); // no tagged field holds records
    if (!enc_ok(e))
        return;
    size_t size = e->buf->n - at - 1;
    size_t more = varint_size(size) - 1;
    if (more > 0 && !enc_extend(e, more))
        return;
    memmove(e->buf->p + at + 1 + more, e->buf->p + at + 1, size);
    (void)varint_put(e->buf->p + at, size);
}

// The field with the least tag from `least` on that is to be written, or NULL.
static const struct schema_field *next_tag(const struct encode *c, const struct schema_layout *l, const uint8_t *in,
                                           uint32_t least)
{
    const struct schema_field *fields = &c->schema->fields[l->field_first], *next = NULL;
    for (uint16_t i = 0; i < l->field_count; i++)
        if (fields[i].tag >= least && (!next || fields[i].tag < next->tag) && tag_wanted(c, &fields[i], in))
            next = &fields[i];
    return next;
}

// Tags in rising order, as KIP-482 wants them; a struct has few.
static void encode_tags(struct encode *c, const struct schema_layout *l, const uint8_t *in)
{
    const struct schema_field *fields = &c->schema->fields[l->field_first];
    uint32_t count = 0;
    for (uint16_t i = 0; i < l->field_count; i++)
        count += tag_wanted(c, &fields[i], in);
    enc_uvarint(c->e, count);
    for (uint32_t least = 0; count > 0; count--) {
        const struct schema_field *f = next_tag(c, l, in, least);
        ASSERT(f); // one for each that was counted: tags are not used twice
        encode_tag(c, f, in);
        least = f->tag + UINT32_C(1);
    }
}

static void encode_layout(struct encode *c, uint16_t layout, const uint8_t *in)
{
    const struct schema_layout *l = &c->schema->layouts[layout];
    const struct schema_field *f = &c->schema->fields[l->field_first];
    for (uint16_t i = 0; i < l->field_count; i++, f++) {
        if (field_exists(f, c->version) && !field_tagged(f, c->version))
            encode_field(c, f, in + f->offset);
    }
    if (c->flexible)
        encode_tags(c, l, in);
}

void schema_encode(const struct schema_message *m, struct enc *e, int16_t version, const void *in)
{
    ASSERT(version >= m->version_min && version <= m->version_max);
    struct encode c = {.e = e, .schema = m->schema, .version = version, .flexible = schema_flexible(m, version)};
    encode_layout(&c, m->layout, in);
}
