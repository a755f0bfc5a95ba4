// SPDX-License-Identifier: Apache-2.0
//
// Random messages; see fill.h.
#include "fill.h"

#include "wire/schema_walk.h"

struct fill {
    const struct schema *schema;
    struct prng *random;
    struct arena *arena;
    int16_t version;
};

static void fill_layout(const struct fill *c, uint16_t layout, uint8_t *out);

static uint64_t fill_below(const struct fill *c, uint64_t n)
{
    return prng_below(c->random, n);
}

static struct bytes fill_bytes(const struct fill *c, bool nullable)
{
    if (nullable && fill_below(c, 4) == 0)
        return (struct bytes){0};
    size_t n = fill_below(c, 16) == 0 ? fill_below(c, 400) : fill_below(c, 12);
    uint8_t *p = arena_alloc(c->arena, n + 1);
    ASSERT(p);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)fill_below(c, 256);
    return bytes_of(p, n);
}

static void fill_value(const struct fill *c, const struct schema_field *f, bool nullable, uint8_t *at)
{
    uint64_t word = prng_next(c->random);
    switch ((enum schema_kind)f->kind) {
    case SCHEMA_BOOL:
        *(bool *)at = word & 1;
        break;
    case SCHEMA_I8:
    case SCHEMA_I16:
    case SCHEMA_U16:
    case SCHEMA_I32:
    case SCHEMA_I64:
    case SCHEMA_F64:
    case SCHEMA_UUID:
        for (size_t i = 0; i < field_value_size(c->schema, f); i++)
            at[i] = (uint8_t)fill_below(c, 256);
        break;
    case SCHEMA_STRING:
    case SCHEMA_BYTES:
        *(struct bytes *)at = fill_bytes(c, nullable);
        break;
    case SCHEMA_RECORDS:
        *(struct records *)at = records_of(fill_bytes(c, nullable));
        break;
    case SCHEMA_STRUCT:
        fill_layout(c, f->layout, at);
        break;
    }
}

static void fill_field(const struct fill *c, const struct schema_field *f, uint8_t *at)
{
    bool nullable = field_nullable(f, c->version);
    size_t size = field_value_size(c->schema, f);
    if (f->flags & SCHEMA_ARRAY) {
        bool null = nullable && fill_below(c, 4) == 0;
        uint32_t count = null ? 0 : (uint32_t)fill_below(c, 4);
        uint8_t *p = null ? NULL : arena_array(c->arena, count, size);
        for (uint32_t i = 0; i < count; i++)
            fill_value(c, f, false, p + i * size);
        *(void **)at = p;
        *field_count_at(at) = count;
    } else if (field_is_pointer(f)) {
        void *p = nullable && fill_below(c, 4) == 0 ? NULL : arena_alloc(c->arena, size);
        if (p)
            fill_layout(c, f->layout, p);
        *(void **)at = p;
    } else {
        fill_value(c, f, nullable, at);
    }
}

static void fill_layout(const struct fill *c, uint16_t layout, uint8_t *out)
{
    layout_init(c->schema, layout, out);
    const struct schema_layout *l = &c->schema->layouts[layout];
    for (uint16_t i = 0; i < l->field_count; i++) {
        const struct schema_field *f = &c->schema->fields[l->field_first + i];
        bool left_out = field_tagged(f, c->version) && fill_below(c, 2) == 0;
        if (field_exists(f, c->version) && !left_out)
            fill_field(c, f, out + f->offset);
    }
}

void fill_message(const struct schema_message *m, int16_t version, struct prng *random, struct arena *a, void *out)
{
    struct fill c = {.schema = m->schema, .random = random, .arena = a, .version = version};
    fill_layout(&c, m->layout, out);
}
