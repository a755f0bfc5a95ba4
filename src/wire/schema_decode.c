// SPDX-License-Identifier: Apache-2.0
//
// Reads any message by its table; see schema.h. Input is hostile: every length and count is checked against what is
// left before it is used, and arrays are charged to the arena before they exist. Depth is the schema's, not the
// input's.
#include "wire/schema_walk.h"

struct decode {
    struct dec *d;
    const struct schema *schema;
    struct arena *arena;
    int16_t version;
    bool flexible;
    bool no_memory; // the arena's limit; d->bad is set too, so that reading stops
};

static void decode_layout(struct decode *c, uint16_t layout, uint8_t *out);

static void *decode_alloc(struct decode *c, size_t count, size_t size)
{
    void *p = arena_array(c->arena, count, size);
    if (!p) {
        c->no_memory = true;
        c->d->bad = true;
    }
    return p;
}

// One value, not an array.
static void decode_value(struct decode *c, const struct schema_field *f, bool nullable, uint8_t *at)
{
    struct dec *d = c->d;
    bool compact = c->flexible && !(f->flags & SCHEMA_NOT_COMPACT);
    switch ((enum schema_kind)f->kind) {
    case SCHEMA_BOOL:
        *(bool *)at = dec_i8(d) != 0;
        break;
    case SCHEMA_I8:
        *(int8_t *)at = dec_i8(d);
        break;
    case SCHEMA_I16:
    case SCHEMA_U16:
        *(int16_t *)at = dec_i16(d);
        break;
    case SCHEMA_I32:
        *(int32_t *)at = dec_i32(d);
        break;
    case SCHEMA_I64:
    case SCHEMA_F64: {
        int64_t v = dec_i64(d); // a double travels as its bits
        memcpy(at, &v, sizeof(v));
        break;
    }
    case SCHEMA_UUID:
        *(struct uuid *)at = dec_uuid(d);
        break;
    case SCHEMA_STRING:
        *(struct bytes *)at = dec_string(d, compact, nullable);
        break;
    case SCHEMA_BYTES:
        *(struct bytes *)at = dec_bytes(d, compact, nullable);
        break;
    case SCHEMA_RECORDS:
        *(struct records *)at = records_of(dec_bytes(d, compact, nullable));
        break;
    case SCHEMA_STRUCT:
        decode_layout(c, f->layout, at);
        break;
    }
}

// The fewest bytes one element takes, so that a count can be held against what is left.
static size_t element_least_bytes(const struct decode *c, const struct schema_field *f)
{
    if (f->kind == SCHEMA_STRUCT)
        return c->schema->layouts[f->layout].least_bytes;
    if (f->kind < SCHEMA_STRING)
        return field_value_size(c->schema, f);
    return c->flexible ? 1 : 2;
}

static void decode_array(struct decode *c, const struct schema_field *f, bool nullable, uint8_t *at)
{
    int32_t count = dec_count(c->d, c->flexible, nullable, element_least_bytes(c, f));
    void *p = NULL;
    if (count >= 0 && !c->d->bad) {
        size_t size = field_value_size(c->schema, f);
        p = count ? decode_alloc(c, (size_t)count, size) : (void *)(uintptr_t)schema_empty;
        for (int32_t i = 0; i < count && !c->d->bad; i++)
            decode_value(c, f, false, (uint8_t *)p + (size_t)i * size);
    }
    *(void **)at = p;
    *field_count_at(at) = count > 0 && !c->d->bad ? (uint32_t)count : 0;
}

// A nullable struct: one byte, -1 for null, in front of its fields.
static void decode_pointer(struct decode *c, const struct schema_field *f, bool nullable, uint8_t *at)
{
    void *p = NULL;
    if (!nullable || dec_i8(c->d) >= 0) {
        p = c->d->bad ? NULL : decode_alloc(c, 1, field_value_size(c->schema, f));
        if (p)
            decode_layout(c, f->layout, p);
    }
    *(void **)at = p;
}

static void decode_field(struct decode *c, const struct schema_field *f, uint8_t *at)
{
    bool nullable = field_nullable(f, c->version);
    if (f->flags & SCHEMA_ARRAY)
        decode_array(c, f, nullable, at);
    else if (field_is_pointer(f))
        decode_pointer(c, f, nullable, at);
    else
        decode_value(c, f, nullable, at);
}

static const struct schema_field *find_tag(const struct decode *c, const struct schema_layout *l, uint32_t tag)
{
    for (uint16_t i = 0; i < l->field_count; i++) {
        const struct schema_field *f = &c->schema->fields[l->field_first + i];
        if (f->tag == tag && tag != SCHEMA_NO_TAG && field_tagged(f, c->version) && field_exists(f, c->version))
            return f;
    }
    return NULL;
}

// Tagged fields: count, then {tag, size, bytes}. A known tag must use up exactly its size (KIP-482).
static void decode_tags(struct decode *c, const struct schema_layout *l, uint8_t *out)
{
    uint32_t count = dec_uvarint(c->d);
    for (uint32_t i = 0; i < count && !c->d->bad; i++) {
        uint32_t tag = dec_uvarint(c->d);
        uint32_t size = dec_uvarint(c->d);
        const uint8_t *p = dec_take(c->d, size);
        const struct schema_field *f = p ? find_tag(c, l, tag) : NULL;
        if (!f)
            continue;
        struct dec inner = dec_of(bytes_of(p, size));
        struct dec *outer = c->d;
        c->d = &inner;
        decode_field(c, f, out + f->offset);
        c->d = outer;
        outer->bad = inner.bad || dec_left(&inner) > 0;
    }
}

static void decode_layout(struct decode *c, uint16_t layout, uint8_t *out)
{
    const struct schema_layout *l = &c->schema->layouts[layout];
    const struct schema_field *f = &c->schema->fields[l->field_first];
    for (uint16_t i = 0; i < l->field_count; i++, f++) {
        if (field_exists(f, c->version) && !field_tagged(f, c->version))
            decode_field(c, f, out + f->offset);
        else
            field_init(c->schema, f, out + f->offset);
    }
    if (c->flexible)
        decode_tags(c, l, out);
}

enum rc schema_decode(const struct schema_message *m, struct dec *d, int16_t version, struct arena *a, void *out)
{
    if (version < m->version_min || version > m->version_max)
        return RC_UNSUPPORTED_VERSION;
    struct decode c = {
        .d = d, .schema = m->schema, .arena = a, .version = version, .flexible = schema_flexible(m, version)};
    decode_layout(&c, m->layout, out);
    if (c.no_memory)
        return RC_NOMEM;
    return d->bad ? RC_MALFORMED : RC_OK;
}
