// SPDX-License-Identifier: Apache-2.0
//
// Defaults, look-up and records of the message tables; see schema.h. Reading and writing are in schema_decode.c and
// schema_encode.c, text in schema_print.c.
#include "wire/schema_walk.h"

const uint8_t schema_empty[16];

size_t field_value_size(const struct schema *s, const struct schema_field *f)
{
    switch ((enum schema_kind)f->kind) {
    case SCHEMA_BOOL:
        return sizeof(bool);
    case SCHEMA_I8:
        return 1;
    case SCHEMA_I16:
    case SCHEMA_U16:
        return 2;
    case SCHEMA_I32:
        return 4;
    case SCHEMA_I64:
        return 8;
    case SCHEMA_F64:
        return sizeof(double);
    case SCHEMA_UUID:
        return sizeof(struct uuid);
    case SCHEMA_STRING:
    case SCHEMA_BYTES:
        return sizeof(struct bytes);
    case SCHEMA_RECORDS:
        return sizeof(struct records);
    case SCHEMA_STRUCT:
        return s->layouts[f->layout].size;
    }
    UNREACHABLE();
}

static inline void init_fixed(enum schema_kind kind, int64_t v, void *at)
{
    switch (kind) {
    case SCHEMA_BOOL:
        *(bool *)at = v != 0;
        break;
    case SCHEMA_I8:
        *(int8_t *)at = (int8_t)v;
        break;
    case SCHEMA_I16:
    case SCHEMA_U16:
        *(int16_t *)at = (int16_t)v;
        break;
    case SCHEMA_I32:
        *(int32_t *)at = (int32_t)v;
        break;
    case SCHEMA_I64:
        *(int64_t *)at = v;
        break;
    case SCHEMA_F64:
        memcpy(at, &v, sizeof(v)); // protogen.py gives defaults to integers only: zero has no bit set
        break;
    case SCHEMA_UUID:
        memset(at, 0, sizeof(struct uuid));
        break;
    case SCHEMA_STRING:
    case SCHEMA_BYTES:
    case SCHEMA_RECORDS:
    case SCHEMA_STRUCT:
        UNREACHABLE();
    }
}

void field_init(const struct schema *s, const struct schema_field *f, void *at)
{
    const void *empty = f->flags & SCHEMA_DEFAULT_NULL ? NULL : schema_empty;
    if (f->flags & SCHEMA_ARRAY) {
        *(const void **)at = empty;
        *field_count_at(at) = 0;
    } else if (field_is_pointer(f)) {
        *(void **)at = NULL;
    } else if (f->kind == SCHEMA_STRUCT) {
        layout_init(s, f->layout, at);
    } else if (f->kind == SCHEMA_STRING || f->kind == SCHEMA_BYTES) {
        *(struct bytes *)at = bytes_of(empty, 0);
    } else if (f->kind == SCHEMA_RECORDS) {
        *(struct records *)at = records_of(bytes_of(empty, 0));
    } else {
        init_fixed((enum schema_kind)f->kind, s->defaults[f->initial], at);
    }
}

// Its default is what memory with zeros says.
static bool field_begins_as_zeros(const struct schema_field *f)
{
    if ((f->flags & SCHEMA_ARRAY) || (f->kind >= SCHEMA_STRING && f->kind <= SCHEMA_RECORDS))
        return f->flags & SCHEMA_DEFAULT_NULL;
    return f->initial == 0 && (f->kind != SCHEMA_STRUCT || field_is_pointer(f));
}

void layout_init(const struct schema *s, uint16_t layout, void *out)
{
    const struct schema_layout *l = &s->layouts[layout];
    memset(out, 0, l->size);
    for (uint16_t i = 0; i < l->field_count; i++) {
        const struct schema_field *f = &s->fields[l->field_first + i];
        if (!field_begins_as_zeros(f))
            field_init(s, f, (uint8_t *)out + f->offset);
    }
}

static bool layout_is_default(const struct schema *s, uint16_t layout, const uint8_t *in)
{
    const struct schema_layout *l = &s->layouts[layout];
    for (uint16_t i = 0; i < l->field_count; i++) {
        const struct schema_field *f = &s->fields[l->field_first + i];
        if (!field_is_default(s, f, in + f->offset))
            return false;
    }
    return true;
}

// Empty is the default: zero elements or bytes, and null only where null may not be told from empty.
static bool view_is_default(const struct schema_field *f, const void *p, size_t n)
{
    if (f->flags & SCHEMA_DEFAULT_NULL)
        return p == NULL;
    return n == 0 && (p != NULL || !(f->flags & SCHEMA_NULLABLE));
}

bool field_is_default(const struct schema *s, const struct schema_field *f, const void *at)
{
    if (f->flags & SCHEMA_ARRAY)
        return view_is_default(f, *(void *const *)at, *field_count_at((void *)(uintptr_t)at));
    if (field_is_pointer(f))
        return *(void *const *)at == NULL;
    if (f->kind == SCHEMA_STRUCT)
        return layout_is_default(s, f->layout, at);
    if (f->kind == SCHEMA_STRING || f->kind == SCHEMA_BYTES) {
        const struct bytes *b = at;
        return view_is_default(f, b->p, b->n);
    }
    if (f->kind == SCHEMA_RECORDS) {
        const struct records *r = at;
        return !r->hole && view_is_default(f, r->bytes.p, r->bytes.n);
    }
    uint8_t value[sizeof(struct uuid)] = {0};
    field_init(s, f, value);
    return memcmp(at, value, field_value_size(s, f)) == 0;
}

void schema_init_nested(const struct schema_message *m, uint16_t layout, void *out)
{
    layout_init(m->schema, layout, out);
}

void schema_init(const struct schema_message *m, void *out)
{
    layout_init(m->schema, m->layout, out);
}

size_t schema_size(const struct schema_message *m)
{
    return m->schema->layouts[m->layout].size;
}

const struct schema_message *schema_find(const struct schema_message *const *rows, size_t count, int16_t key)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rows[middle]->key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && rows[low]->key == key ? rows[low] : NULL;
}

void schema_record_encode(const struct schema_message *m, struct enc *e, int16_t version, const void *in)
{
    ASSERT(m->key >= 0 && version >= 0);
    enc_uvarint(e, (uint32_t)m->key);
    enc_uvarint(e, (uint32_t)version);
    schema_encode(m, e, version, in);
}

enum rc schema_record_decode(const struct schema_message *const *rows, size_t count, struct bytes in, struct arena *a,
                             void *out, size_t size_max, const struct schema_message **message)
{
    struct dec d = dec_of(in);
    uint32_t key = dec_uvarint(&d), version = dec_uvarint(&d);
    if (d.bad || key > INT16_MAX || version > INT16_MAX)
        return RC_MALFORMED;
    const struct schema_message *m = schema_find(rows, count, (int16_t)key);
    if (!m)
        return RC_UNSUPPORTED;
    ASSERT(schema_size(m) <= size_max);
    *message = m;
    enum rc rc = schema_decode(m, &d, (int16_t)version, a, out);
    if (rc == RC_OK && dec_left(&d) > 0)
        return RC_MALFORMED;
    return rc;
}
