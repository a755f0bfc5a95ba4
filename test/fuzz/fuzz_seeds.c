// SPDX-License-Identifier: Apache-2.0
//
// Writes the seed corpus: sound inputs of every kind for the fuzzers to damage.
//
//     fuzz_seeds FOLDER        makes FOLDER/{frame,decode,peer,batch,codec}/
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "fill.h"
#include "message.h"
#include "wire/batch.h"
#include "wire/frame.h"
#include "wire/messages.h"
#include "wire/peer_messages.h"

static const char *folder;

static void save(const char *target, const char *name, const struct buf *b)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", folder, target);
    mkdir(path, 0777);
    snprintf(path, sizeof(path), "%s/%s/%s", folder, target, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(b->p, 1, b->n, f) != b->n || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

// The newest and the oldest version of a few messages that have everything: tags, nulls, nesting.
static void seed_messages(void)
{
    static const int16_t keys[] = {API_PRODUCE,
                                   API_FETCH,
                                   API_METADATA,
                                   API_JOIN_GROUP,
                                   API_API_VERSIONS,
                                   API_CREATE_TOPICS,
                                   API_DESCRIBE_TOPIC_PARTITIONS};
    struct prng r;
    struct arena a;
    struct buf b;
    struct enc e;
    static uint8_t message[MESSAGE_BYTES] __attribute__((aligned(16)));
    prng_init(&r, 1);
    arena_init(&a, 1 << 20, NULL, 0);
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        const struct schema_message *m = wire_request_find(keys[i]);
        for (int newest = 0; newest < 2; newest++) {
            int16_t version = newest ? m->version_max : m->version_min;
            char name[80];
            fill_message(m, version, &r, &a, message);
            b.n = 0;
            enc_init(&e, &b, NULL, 0);
            frame_end(&e, frame_request_begin(&e, m->key, version, 1, bytes_str("seed")));
            schema_encode(m, &e, version, message);
            memmove(b.p, b.p + FRAME_LENGTH_BYTES, b.n - FRAME_LENGTH_BYTES);
            b.n -= FRAME_LENGTH_BYTES;
            snprintf(name, sizeof(name), "%s-v%d", m->name, version);
            save("frame", name, &b);
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(kafka_messages); i += 12) {
        const struct schema_message *m = kafka_messages[i];
        char name[80];
        fill_message(m, m->version_max, &r, &a, message);
        b.n = 0;
        buf_put_u8(&b, (uint8_t)i);
        buf_put_u8(&b, (uint8_t)(m->version_max - m->version_min));
        enc_init(&e, &b, NULL, 0);
        schema_encode(m, &e, m->version_max, message);
        snprintf(name, sizeof(name), "%s-%zu-v%d", m->name, i, m->version_max);
        save("decode", name, &b);
    }
    for (size_t i = 0; i < ARRAY_COUNT(peer_messages); i++) {
        const struct schema_message *m = peer_messages[i];
        fill_message(m, m->version_max, &r, &a, message);
        b.n = 0;
        buf_put_u8(&b, (uint8_t)i);
        enc_init(&e, &b, NULL, 0);
        schema_encode(m, &e, m->version_max, message);
        save("peer", m->name, &b);
    }
    arena_deinit(&a);
    buf_deinit(&b);
}

static void seed_batches(void)
{
    for (enum codec codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
        struct batch_options o = batch_options_default();
        struct batch_builder builder;
        struct buf b;
        o.codec = codec;
        buf_init(&b, 1 << 20);
        buf_put_u8(&b, 0);
        batch_builder_init(&builder, &o, 1 << 19);
        struct record_header h = {bytes_str("header"), bytes_str("value")};
        for (int i = 0; i < 5; i++)
            batch_builder_add(&builder, 1000 + i, i % 2 ? bytes_str("key") : (struct bytes){0},
                              bytes_str("a value a value a value"), &h, i % 3 == 0);
        batch_builder_finish(&builder, &b);
        save("batch", codec_name(codec), &b);
        batch_builder_deinit(&builder);
        b.n = 0;
        if (codec != CODEC_NONE) {
            buf_put_u8(&b, (uint8_t)(codec - 1));
            codec_compress(codec, CODEC_LEVEL_DEFAULT, bytes_str("to be or not to be or not to be or not to be that"),
                           &b, NULL, 0);
            save("codec", codec_name(codec), &b);
        }
        buf_deinit(&b);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    folder = argv[1];
    mkdir(folder, 0777);
    seed_messages();
    seed_batches();
    return 0;
}
