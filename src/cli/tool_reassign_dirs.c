// SPDX-License-Identifier: Apache-2.0
//
// kafka-reassign-partitions, the part about log folders: replicas that are to lie in a folder the plan names.
#include "cli/tool_reassign_dirs.h"

#include "cli/tool.h"
#include "model/kerr.h"

struct log_move *tool_dirs_of(struct cli *cli, const struct reassign_plan *p, uint32_t *count)
{
    size_t most = 1;
    for (uint32_t i = 0; i < p->count; i++)
        most += p->moves[i].count;
    struct log_move *out = cli_alloc(cli, most, sizeof(*out));
    *count = 0;
    for (uint32_t i = 0; i < p->count; i++)
        for (uint32_t k = 0; p->moves[i].dirs && k < p->moves[i].count; k++)
            if (p->moves[i].dirs[k])
                out[(*count)++] = (struct log_move){.topic = p->moves[i].topic,
                                                    .partition = p->moves[i].partition,
                                                    .broker = p->moves[i].replicas[k],
                                                    .dir = p->moves[i].dirs[k]};
    return out;
}

static const char *names(struct cli *cli, const struct log_move *moves, uint32_t count, int16_t code)
{
    const char *text = "";
    for (uint32_t i = 0; i < count; i++)
        if (moves[i].code == code)
            text = arena_printf(&cli->arena, "%s%s%s-%d-%d", text, *text ? "," : "", moves[i].topic, moves[i].partition,
                                moves[i].broker);
    return text;
}

// Puts those that are not there yet first.
static uint32_t pending(struct log_move *moves, uint32_t count)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++)
        if (moves[i].code)
            moves[n++] = moves[i];
    return n;
}

bool tool_dirs_start(struct cli *cli, struct log_move *moves, uint32_t count, int64_t timeout_ms)
{
    enum { AGAIN_MS = 100 };
    for (int64_t waited = 0; count > 0; waited += AGAIN_MS) {
        if (!log_moves_ask(cli, moves, count))
            return false;
        for (uint32_t i = 0; i < count; i++) {
            if (moves[i].code && moves[i].code != kerr_of(RC_REPLICA_NOT_AVAILABLE)) {
                tool_fail(cli, "Error: Failed to alter dir for %s-%d-%d: %s", moves[i].topic, moves[i].partition,
                          moves[i].broker, tool_error(cli, moves[i].code));
                return false;
            }
            if (!moves[i].code)
                buf_printf(&cli->out, "Successfully started moving log directory to %s for replica %s-%d with broker %d \n",
                           moves[i].dir, moves[i].topic, moves[i].partition, moves[i].broker);
        }
        count = pending(moves, count); // a replica that is new on its broker can move once it is there
        if (count == 0)
            break;
        if (waited >= timeout_ms) {
            tool_fail(cli, "Error: Timed out before log directory move%s could be started for: %s", count == 1 ? "" : "s",
                      names(cli, moves, count, kerr_of(RC_REPLICA_NOT_AVAILABLE)));
            return false;
        }
        client_wait_ms(&cli->client, AGAIN_MS);
    }
    return true;
}

bool tool_dirs_verify(struct cli *cli, const struct log_move *moves, uint32_t count, bool *under_way)
{
    *under_way = false;
    for (uint32_t i = 0; i < count; i++) {
        const struct log_move *m = &moves[i];
        enum log_move_state state;
        int64_t lag;
        const char *dir;
        if (!log_move_look(cli, m, &state, &lag, &dir))
            return false;
        switch (state) {
        case LOG_MOVE_UNKNOWN:
            buf_printf(&cli->out, "Partition %s-%d cannot be found in any live log directory on broker %d.\n", m->topic,
                       m->partition, m->broker);
            break;
        case LOG_MOVE_DONE:
            buf_printf(&cli->out, "Reassignment of replica %s-%d-%d completed successfully.\n", m->topic, m->partition,
                       m->broker);
            break;
        case LOG_MOVE_UNDER_WAY:
            *under_way = true;
            buf_printf(&cli->out, "Reassignment of replica %s-%d-%d is still in progress.\n", m->topic, m->partition,
                       m->broker);
            break;
        case LOG_MOVE_TO_ANOTHER:
            *under_way = true;
            buf_printf(&cli->out, "Partition %s-%d on broker %d is being moved to log dir %s instead of %s.\n", m->topic,
                       m->partition, m->broker, dir, m->dir);
            break;
        case LOG_MOVE_ELSEWHERE:
            buf_printf(&cli->out, "Partition %s-%d on broker %d is not being moved from log dir %s to %s.\n", m->topic,
                       m->partition, m->broker, dir, m->dir);
            break;
        }
    }
    return true;
}

bool tool_dirs_cancel(struct cli *cli, struct log_move *moves, uint32_t count, int64_t timeout_ms)
{
    uint32_t active = 0;
    for (uint32_t i = 0; i < count; i++) {
        enum log_move_state state;
        int64_t lag;
        const char *dir;
        struct log_move m = moves[i];
        if (!log_move_look(cli, &m, &state, &lag, &dir))
            return false;
        if (state != LOG_MOVE_UNDER_WAY && state != LOG_MOVE_TO_ANOTHER)
            continue;
        m.dir = log_move_home(cli, &m);
        if (!m.dir)
            return false;
        moves[active++] = m;
    }
    if (active == 0)
        buf_printf(&cli->out, "None of the specified partition moves are active.");
    return tool_dirs_start(cli, moves, active, timeout_ms);
}
