// SPDX-License-Identifier: Apache-2.0
//
// Names of hosts, looked up without holding up the loop: getaddrinfo() waits for servers that may be gone, and a shard that
// waits with it serves nobody and loses its leases. A lookup is a short-lived thread with a job of its own; the loop and the
// thread part over one exchange of its state, so that neither waits for the other.
#include <stdlib.h>
#include <string.h>

#include "io/internal.h"

enum { NAMES_MAX = 64 };
#define KNOWN_NS UINT64_C(10000000000)
#define FAILED_NS UINT64_C(1000000000)

enum job_state { JOB_RUNNING, JOB_DONE, JOB_ABANDONED };

struct name_job {
    atomic_int state;
    char name[IO_HOST_BYTES_MAX];
    enum rc rc;
    struct io_addr addr;
};

struct io_name {
    struct list_node link;
    struct name_job *job; // NULL: none under way
    bool known;           // addr is what it stood for last
    enum rc rc;           // of the last lookup
    uint64_t until_ns;    // for so long that counts; 0: never looked up
    struct io_addr addr;
    char name[IO_HOST_BYTES_MAX];
};

// Whoever leaves the job second frees it.
static void job_leave(struct name_job *job, enum job_state as)
{
    if (atomic_exchange(&job->state, (int)as) != JOB_RUNNING)
        free(job);
}

static void *job_main(void *argument)
{
    struct name_job *job = argument;
    job->rc = io_addr_lookup(job->name, &job->addr);
    job_leave(job, JOB_DONE);
    return NULL;
}

static enum rc job_start(struct io_name *n)
{
    struct name_job *job = calloc(1, sizeof(*job));
    if (!job)
        return RC_NOMEM;
    memcpy(job->name, n->name, sizeof(job->name));
    if (!io_worker_start(NULL, job_main, job)) {
        free(job);
        return RC_NOMEM;
    }
    n->job = job;
    return RC_OK;
}

static void job_collect(struct io *io, struct io_name *n)
{
    if (!n->job || atomic_load(&n->job->state) != JOB_DONE)
        return;
    n->rc = n->job->rc;
    if (n->rc == RC_OK) {
        n->known = true;
        n->addr = n->job->addr;
    }
    n->until_ns = io_clock_ns(io) + (n->rc == RC_OK ? KNOWN_NS : FAILED_NS);
    free(n->job);
    n->job = NULL;
}

static void name_forget(struct io *io, struct io_name *n)
{
    list_remove(&io->names, &n->link);
    io->name_count--;
    if (n->job)
        job_leave(n->job, JOB_ABANDONED);
    free(n);
}

static struct io_name *name_of(struct io *io, const char *name)
{
    for (struct list_node *node = list_first(&io->names); node; node = list_next(&io->names, node)) {
        struct io_name *n = list_entry(node, struct io_name, link);
        if (strcmp(n->name, name) == 0) {
            list_remove(&io->names, node);
            list_push_front(&io->names, node);
            return n;
        }
    }
    if (io->name_count == NAMES_MAX)
        name_forget(io, list_entry(list_last(&io->names), struct io_name, link));
    struct io_name *n = calloc(1, sizeof(*n));
    if (!n)
        return NULL;
    memcpy(n->name, name, strlen(name) + 1);
    list_push_front(&io->names, &n->link);
    io->name_count++;
    return n;
}

enum rc io_resolve_soon(struct io *io, const char *host, uint16_t port, struct io_addr *out)
{
    char name[IO_HOST_BYTES_MAX];
    enum rc rc = io_addr_parse(host, port, out, name);
    if (rc != RC_NOT_FOUND)
        return rc;
    struct io_name *n = name_of(io, name);
    if (!n)
        return RC_NOMEM;
    job_collect(io, n);
    *out = n->addr;
    out->port = n->known ? port : 0;
    if (n->until_ns && io_clock_ns(io) < n->until_ns)
        return n->rc;
    rc = n->job ? RC_OK : job_start(n);
    return rc ? rc : RC_AGAIN;
}

void io_names_deinit(struct io *io)
{
    struct list_node *node;
    while ((node = list_first(&io->names)))
        name_forget(io, list_entry(node, struct io_name, link));
}
