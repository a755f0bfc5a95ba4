// SPDX-License-Identifier: Apache-2.0
//
// Optimal string alignment distance over three rows, which is plenty for words of a command line.
#include "cli/suggest.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static char lower(char c)
{
    return (char)tolower((unsigned char)c);
}

size_t suggest_distance(const char *a, const char *b)
{
    size_t rows[3][SUGGEST_WORD_MAX + 1];
    size_t n = strlen(a), m = strlen(b);
    if (n > SUGGEST_WORD_MAX || m > SUGGEST_WORD_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *row = rows[i % 3], *above = rows[(i - 1) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t replace = above[j - 1] + (lower(a[i - 1]) != lower(b[j - 1]));
            size_t least = above[j] + 1 < row[j - 1] + 1 ? above[j] + 1 : row[j - 1] + 1;
            row[j] = replace < least ? replace : least;
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]) &&
                two_above[j - 2] + 1 < row[j])
                row[j] = two_above[j - 2] + 1;
        }
    }
    return rows[n % 3][m];
}

void suggest_init(struct suggest *s, const char *typed)
{
    *s = (struct suggest){.typed = typed, .best_distance = SIZE_MAX};
}

void suggest_offer(struct suggest *s, const char *word)
{
    size_t typed_chars = strlen(s->typed);
    size_t distance = suggest_distance(s->typed, word);
    // A third of the letters may be wrong; a beginning of two letters counts as one edit.
    size_t limit = typed_chars < 3 ? 1 : 1 + typed_chars / 3;
    if (typed_chars >= 2 && strncasecmp(s->typed, word, typed_chars) == 0)
        distance = 1;
    if (distance <= limit && distance < s->best_distance) {
        s->best = word;
        s->best_distance = distance;
    }
}
