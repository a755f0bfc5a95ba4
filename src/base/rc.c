// SPDX-License-Identifier: Apache-2.0
//
// Names and sentences of enum rc.
#include "base/rc.h"
#include "base/assert.h"

static const char *const rc_names[RC_COUNT] = {
#define RC_NAME(name, text) [RC_##name] = #name,
    RC_LIST(RC_NAME)
#undef RC_NAME
};

static const char *const rc_texts[RC_COUNT] = {
#define RC_TEXT(name, text) [RC_##name] = text,
    RC_LIST(RC_TEXT)
#undef RC_TEXT
};

const char *rc_name(enum rc rc)
{
    ASSERT(rc < RC_COUNT);
    return rc_names[rc];
}

const char *rc_text(enum rc rc)
{
    ASSERT(rc < RC_COUNT);
    return rc_texts[rc];
}
