// SPDX-License-Identifier: Apache-2.0
//
// Inside the table interpreter (schema*.c): the questions every walk over a message asks of a field.
#pragma once

#include "base/assert.h"
#include "wire/schema.h"

extern const uint8_t schema_empty[16]; // what empty, non-null pointers point at

static inline bool field_exists(const struct schema_field *f, int16_t version)
{
    return version >= f->version_min && version <= f->version_max;
}

static inline bool field_tagged(const struct schema_field *f, int16_t version)
{
    return f->tag != SCHEMA_NO_TAG && version >= f->tag_version_min;
}

static inline bool field_nullable(const struct schema_field *f, int16_t version)
{
    return version >= f->null_min && version <= f->null_max;
}

// A nullable struct is a pointer in C; every other struct lies in its parent.
static inline bool field_is_pointer(const struct schema_field *f)
{
    return f->kind == SCHEMA_STRUCT && (f->flags & (SCHEMA_NULLABLE | SCHEMA_ARRAY)) == SCHEMA_NULLABLE;
}

// Array fields are {T *; uint32_t} in that order without a gap; protogen.py writes them so.
static inline uint32_t *field_count_at(void *at)
{
    return (uint32_t *)((uint8_t *)at + sizeof(void *));
}

// Size of one value of the field in C, arrays aside.
size_t field_value_size(const struct schema *s, const struct schema_field *f);
// Sets one field to its default.
void field_init(const struct schema *s, const struct schema_field *f, void *at);
// True when the value is what field_init() sets.
bool field_is_default(const struct schema *s, const struct schema_field *f, const void *at);
void layout_init(const struct schema *s, uint16_t layout, void *out);
