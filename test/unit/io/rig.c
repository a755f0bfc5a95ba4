// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

#include <ftw.h>
#include <unistd.h>

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void rig_run(enum io_engine engine, void (*test)(struct rig *r))
{
    struct rig r = {0};
    struct io_config config = {.engine = engine};
    enum rc rc = io_create(&r.io, &config);
    if (rc == RC_UNSUPPORTED)
        cr_skip_test("io_uring is not available here");
    cr_assert_eq(rc, RC_OK);
    cr_assert_str_eq(io_engine_name(r.io), engine == IO_ENGINE_URING ? "io_uring" : "epoll");
    snprintf(r.folder, sizeof(r.folder), "/tmp/weir-io-XXXXXX");
    cr_assert(mkdtemp(r.folder));
    test(&r);
    io_destroy(r.io);
    nftw(r.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *rig_path(struct rig *r, const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *out = paths[next++ % 4];
    snprintf(out, sizeof(paths[0]), "%s/%s", r->folder, name);
    return out;
}

bool rig_until(struct rig *r, const bool *flag)
{
    uint64_t end_ns = io_clock_ns(r->io) + UINT64_C(10000000000);
    while (!*flag && io_clock_ns(r->io) < end_ns)
        io_poll(r->io, 100 * 1000 * 1000);
    return *flag;
}

void rig_op_done(struct io_op *op, enum rc rc, size_t bytes)
{
    struct rig_op *o = (struct rig_op *)op;
    cr_assert(!io_op_busy(op), "an op is its owner's again when done() runs");
    o->done = true;
    o->rc = rc;
    o->bytes = bytes;
}
