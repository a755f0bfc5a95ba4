// SPDX-License-Identifier: Apache-2.0
//
// Mailboxes under load between two to four real threads, and operations on helper threads beside them. A program of its
// own, without Criterion, which does not start under ThreadSanitizer: this is what that build is for.
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/list.h"
#include "io/io.h"
#include "shard/shard.h"

enum { SHARDS_MAX = 4, MESSAGES = 64 };

// One shard's part in the exchange: it keeps MESSAGES messages travelling to the others until it has sent enough.
struct party {
    struct shard *shard;
    struct shard_task waiting;
    struct message {
        struct shard_message m;
        struct party *owner;
        uint64_t value;
    } messages[MESSAGES];
    struct message *free[MESSAGES];
    unsigned free_count;
    uint64_t to_send, answered, received, sum;
    uint32_t next_target;
    struct io_thread thread;
};

static struct party parties[SHARDS_MAX];
static atomic_uint parties_busy;
static struct shard_group group;

static void party_pump(struct party *p);

static void on_run(struct shard *on, struct shard_message *m)
{
    struct message *msg = (struct message *)m;
    struct party *target = on->owner;
    target->received++;
    msg->value = msg->value * 3 + 1; // the sender's memory: it is ours until answered
    shard_answer(on, m);
}

static void on_answered(struct shard *on, struct shard_message *m)
{
    struct message *msg = (struct message *)m;
    struct party *p = on->owner;
    ASSERT(msg->owner == p);
    p->sum += msg->value;
    p->answered++;
    p->free[p->free_count++] = msg;
    if (p->to_send > 0)
        party_pump(p);
    else if (p->free_count == MESSAGES && atomic_fetch_sub(&parties_busy, 1) == 1) {
        for (uint32_t i = 0; i < group.count; i++)
            shard_stop(&group.shards[i]);
    }
}

static void on_room(struct shard_task *t)
{
    party_pump(container_of(t, struct party, waiting));
}

static void party_pump(struct party *p)
{
    while (p->to_send > 0 && p->free_count > 0) {
        struct message *msg = p->free[p->free_count - 1];
        msg->m.run = on_run;
        msg->m.answered = on_answered;
        msg->owner = p;
        msg->value = p->to_send;
        uint32_t to = p->next_target;
        if (shard_send(p->shard, to, &msg->m) != RC_OK) {
            shard_mailbox_wait(p->shard, to, &p->waiting, on_room);
            return;
        }
        p->free_count--;
        p->to_send--;
        p->next_target = (to + 1) % p->shard->count;
    }
}

static void party_main(void *argument)
{
    struct party *p = argument;
    party_pump(p);
    shard_run(p->shard);
}

static void exchange(uint32_t count, uint32_t slots, uint64_t messages, enum io_engine engine)
{
    struct io *ios[SHARDS_MAX];
    struct io_config config = {.engine = engine};
    for (uint32_t i = 0; i < count; i++) {
        enum rc rc = io_create(&ios[i], &config);
        if (rc == RC_UNSUPPORTED)
            exit(77); // meson's word for skipped
        ASSERT(rc == RC_OK);
    }
    ASSERT(shard_group_create(&group, ios, count, slots, NULL) == RC_OK);
    atomic_store(&parties_busy, count);
    for (uint32_t i = 0; i < count; i++) {
        struct party *p = &parties[i];
        *p = (struct party){.shard = &group.shards[i], .to_send = messages, .next_target = i};
        p->shard->owner = p;
        for (unsigned k = 0; k < MESSAGES; k++)
            p->free[p->free_count++] = &p->messages[k];
    }
    for (uint32_t i = 0; i < count; i++)
        ASSERT(io_thread_start(&parties[i].thread, party_main, &parties[i], (int)i) == RC_OK);
    uint64_t received = 0;
    for (uint32_t i = 0; i < count; i++) {
        io_thread_join(&parties[i].thread);
        received += parties[i].received;
        ASSERT(parties[i].answered == messages);
        ASSERT(parties[i].sum == 3 * (messages * (messages + 1) / 2) + messages);
        ASSERT(group.shards[i].answers_awaited == 0);
    }
    ASSERT(received == messages * count);
    shard_group_destroy(&group);
    for (uint32_t i = 0; i < count; i++)
        io_destroy(ios[i]);
}

// ------------------------------------------------------------------------------------------------ helper threads

enum { OPS = 16 };

struct reader {
    struct io_op op;
    uint8_t bytes[64];
    uint64_t offset;
};

static unsigned reads_left;
static struct io_file file;

static void on_read(struct io_op *op, enum rc rc, size_t bytes)
{
    struct reader *r = container_of(op, struct reader, op);
    ASSERT(rc == RC_OK && bytes == sizeof(r->bytes));
    for (size_t i = 0; i < sizeof(r->bytes); i++)
        ASSERT(r->bytes[i] == (uint8_t)(r->offset + i));
    if (reads_left-- > OPS)
        io_file_read(&r->op, &file, r->bytes, sizeof(r->bytes), r->offset);
}

static void operations(enum io_engine engine)
{
    struct io *io;
    struct io_config config = {.engine = engine};
    if (io_create(&io, &config) == RC_UNSUPPORTED)
        exit(77);
    char path[] = "/tmp/weir-threads-XXXXXX";
    int fd = mkstemp(path);
    ASSERT(fd >= 0);
    close(fd);
    ASSERT(io_file_open(io, &file, path, IO_OPEN_READ | IO_OPEN_WRITE, IO_FILE_OTHER) == RC_OK);
    uint8_t bytes[4096];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    ASSERT(io_file_write_now(&file, bytes, sizeof(bytes), 0) == RC_OK);
    struct reader readers[OPS];
    reads_left = 3000;
    for (unsigned i = 0; i < OPS; i++) {
        readers[i] = (struct reader){.op.done = on_read, .offset = i * 7};
        io_file_read(&readers[i].op, &file, readers[i].bytes, sizeof(readers[i].bytes), readers[i].offset);
    }
    while (reads_left > 0)
        io_poll(io, -1);
    io_file_close(&file);
    ASSERT(io_remove_now(io, path) == RC_OK);
    io_destroy(io);
}

int main(int argc, char **argv)
{
    ASSERT(argc == 2);
    enum io_engine engine = strcmp(argv[1], "uring") == 0 ? IO_ENGINE_URING : IO_ENGINE_EPOLL;
    exchange(2, 256, 20000, engine);
    exchange(4, 256, 10000, engine);
    // Every mailbox is full nearly all the time, in both directions: nobody may wait for anybody.
    exchange(3, 2, 5000, engine);
    exchange(2, 1, 3000, engine);
    operations(engine);
    return 0;
}
