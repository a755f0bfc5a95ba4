// SPDX-License-Identifier: Apache-2.0
//
// Cells are gathered as text in an arena, then measured and printed.
#include "cli/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

void table_init(struct table *t, struct arena *a, const char *titles)
{
    *t = (struct table){.arena = a};
    for (const char *p = titles; *p;) {
        ASSERT(t->column_count < TABLE_COLUMNS_MAX);
        size_t n = strcspn(p, "|");
        const char *title = arena_copy(a, p, n);
        t->failed |= !title;
        t->titles[t->column_count++] = title ? title : "";
        p += n + (p[n] == '|');
    }
}

void table_cell_bytes(struct table *t, struct bytes text)
{
    if (t->cell_count == t->cell_cap) {
        uint32_t cap = t->cell_cap ? t->cell_cap * 2 : 64;
        const char **cells = arena_array(t->arena, cap, sizeof(*cells));
        if (!cells) {
            t->failed = true;
            return;
        }
        if (t->cell_count)
            memcpy(cells, t->cells, t->cell_count * sizeof(*cells));
        t->cells = cells;
        t->cell_cap = cap;
    }
    const char *cell = arena_copy(t->arena, text.p, text.n);
    t->failed |= !cell;
    t->cells[t->cell_count++] = cell ? cell : "";
}

void table_cell(struct table *t, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    size_t bytes = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
    table_cell_bytes(t, bytes_of(text, bytes));
}

void table_int(struct table *t, int64_t v)
{
    if (v < 0)
        table_cell(t, "-");
    else
        table_cell(t, "%lld", (long long)v);
}

// Characters, not bytes: continuation bytes of UTF-8 take no column.
static size_t width_of(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void print_cell(struct buf *out, const char *text, size_t width, bool right, bool last)
{
    int pad = (int)(width - width_of(text));
    if (right)
        buf_printf(out, "%*s", pad, "");
    buf_append(out, text, strlen(text));
    if (!right && !last)
        buf_printf(out, "%*s", pad, "");
    buf_printf(out, last ? "\n" : "  ");
}

void table_print(const struct table *t, struct buf *out)
{
    size_t widths[TABLE_COLUMNS_MAX];
    bool right[TABLE_COLUMNS_MAX];
    ASSERT(t->cell_count % t->column_count == 0 || t->failed);
    for (uint32_t c = 0; c < t->column_count; c++) {
        right[c] = t->titles[c][0] == '>';
        widths[c] = width_of(t->titles[c] + right[c]);
        for (uint32_t i = c; i < t->cell_count; i += t->column_count)
            if (width_of(t->cells[i]) > widths[c])
                widths[c] = width_of(t->cells[i]);
    }
    for (uint32_t c = 0; c < t->column_count; c++)
        print_cell(out, t->titles[c] + right[c], widths[c], right[c], c + 1 == t->column_count);
    for (uint32_t i = 0; i < t->cell_count; i++) {
        uint32_t c = i % t->column_count;
        print_cell(out, t->cells[i], widths[c], right[c], c + 1 == t->column_count);
    }
    if (t->failed)
        buf_printf(out, "(cut: out of memory)\n");
}
