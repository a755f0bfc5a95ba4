// SPDX-License-Identifier: Apache-2.0
#include "cli/log_moves.h"

#include <string.h>

#include "cli/commands.h"
#include "wire/messages.h"

// One move; brokers are few and moves by hand, too.
static bool ask_one(struct cli *cli, struct log_move *m)
{
    struct alter_replica_log_dirs_request in;
    struct alter_replica_log_dirs_response out;
    struct alter_replica_log_dirs_request_topic topic = {
        .name = bytes_str(m->topic), .partitions = &m->partition, .partitions_count = 1};
    struct alter_replica_log_dirs_request_dir dir = {.path = bytes_str(m->dir), .topics = &topic, .topics_count = 1};
    alter_replica_log_dirs_request_init(&in);
    in.dirs = &dir;
    in.dirs_count = 1;
    if (!cli_ask(cli, m->broker, &alter_replica_log_dirs_request_message, &in, &alter_replica_log_dirs_response_message,
                 &out))
        return false;
    if (out.results_count != 1 || out.results[0].partitions_count != 1) {
        cli_fail(cli, "the broker's answer does not name the partition");
        return false;
    }
    m->code = out.results[0].partitions[0].error_code;
    return true;
}

bool log_moves_ask(struct cli *cli, struct log_move *moves, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!ask_one(cli, &moves[i]))
            return false;
    return true;
}

// Where the replica is, and where it is on its way to; NULL: nowhere. False after a message.
static bool find(struct cli *cli, const struct log_move *m, const char **now, const char **future, int64_t *lag)
{
    struct describe_log_dirs_response out;
    *now = *future = NULL;
    *lag = 0;
    if (!admin_ask_log_dirs(cli, m->broker, m->topic, &out))
        return false;
    for (uint32_t i = 0; i < out.results_count; i++)
        for (uint32_t t = 0; t < out.results[i].topics_count; t++)
            for (uint32_t k = 0; k < out.results[i].topics[t].partitions_count; k++) {
                const struct describe_log_dirs_response_partition *p = &out.results[i].topics[t].partitions[k];
                if (p->partition_index != m->partition)
                    continue;
                *(p->is_future_key ? future : now) =
                    arena_copy(&cli->arena, out.results[i].log_dir.p, out.results[i].log_dir.n);
                *lag = p->is_future_key ? p->offset_lag : *lag;
            }
    return true;
}

const char *log_move_home(struct cli *cli, const struct log_move *m)
{
    const char *now, *future;
    int64_t lag;
    if (!find(cli, m, &now, &future, &lag))
        return NULL;
    if (!now)
        cli_fail(cli, "broker %d has no replica of %s-%d any more", m->broker, m->topic, m->partition);
    return now;
}

bool log_move_look(struct cli *cli, const struct log_move *m, enum log_move_state *state, int64_t *lag, const char **dir)
{
    const char *now, *future;
    if (!find(cli, m, &now, &future, lag))
        return false;
    *state = LOG_MOVE_UNKNOWN;
    if (now && strcmp(now, m->dir) == 0)
        *state = LOG_MOVE_DONE;
    else if (future && strcmp(future, m->dir) == 0)
        *state = LOG_MOVE_UNDER_WAY;
    else if (future)
        *state = LOG_MOVE_TO_ANOTHER;
    else if (now)
        *state = LOG_MOVE_ELSEWHERE;
    *dir = *state == LOG_MOVE_TO_ANOTHER ? future : now ? now : "";
    return true;
}
