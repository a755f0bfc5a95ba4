// SPDX-License-Identifier: Apache-2.0
//
// Tables for people: columns as wide as their widest cell, numbers to the right, two spaces between. Pure.
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"

enum { TABLE_COLUMNS_MAX = 16 };

struct table {
    struct arena *arena; // holds the cells
    const char *titles[TABLE_COLUMNS_MAX];
    uint32_t column_count;
    const char **cells; // row by row
    uint32_t cell_count, cell_cap;
    bool failed; // memory was short
};

// titles: "TOPIC|>PARTITIONS|LEADER": '>' sets a column to the right. The text must outlive the table.
void table_init(struct table *t, struct arena *a, const char *titles);
// The next cell, row by row. The text is copied.
void table_cell(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
// A number; "-" when it is negative.
void table_int(struct table *t, int64_t v);
void table_cell_bytes(struct table *t, struct bytes text);
// Appends header and rows. The last row must be complete.
void table_print(const struct table *t, struct buf *out);
