// SPDX-License-Identifier: Apache-2.0
//
// What the io tests share: each runs on both engines, in a folder of its own that is removed afterwards.
#pragma once

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/io.h"

struct rig {
    struct io *io;
    char folder[64];
};

// Defines a test with `struct rig *r` in scope, run once an engine.
#define IO_TEST(suite, name)                                                                                           \
    static void suite##_##name(struct rig *r);                                                                         \
    Test(suite, name##_on_uring, .timeout = 30)                                                                        \
    {                                                                                                                  \
        rig_run(IO_ENGINE_URING, suite##_##name);                                                                      \
    }                                                                                                                  \
    Test(suite, name##_on_epoll, .timeout = 30)                                                                        \
    {                                                                                                                  \
        rig_run(IO_ENGINE_EPOLL, suite##_##name);                                                                      \
    }                                                                                                                  \
    static void suite##_##name(struct rig *r)

// A kernel or container without io_uring skips that half, by name.
void rig_run(enum io_engine engine, void (*test)(struct rig *r));
// path inside the rig's folder; the buffers of the last four calls stay.
const char *rig_path(struct rig *r, const char *name);
// Polls until *flag or 10 s have passed; returns *flag.
bool rig_until(struct rig *r, const bool *flag);

// An operation with what done() was told.
struct rig_op {
    struct io_op op;
    bool done;
    enum rc rc;
    size_t bytes;
};
void rig_op_done(struct io_op *op, enum rc rc, size_t bytes);
#define RIG_OP() ((struct rig_op){.op.done = rig_op_done})
