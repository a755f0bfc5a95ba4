// SPDX-License-Identifier: Apache-2.0
//
// "Did you mean": the nearest word of a list. Pure.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { SUGGEST_WORD_MAX = 64 };

// Edits (insert, delete, replace, swap of neighbours) between two words, upper and lower case being equal; SIZE_MAX
// when one is longer than SUGGEST_WORD_MAX.
size_t suggest_distance(const char *a, const char *b);

// The nearest so far; offer words one by one. A word that begins with what was typed is near.
struct suggest {
    const char *typed;
    const char *best; // NULL while nothing is near enough
    size_t best_distance;
};

void suggest_init(struct suggest *s, const char *typed);
void suggest_offer(struct suggest *s, const char *word);
