// SPDX-License-Identifier: Apache-2.0
//
// weir admin groups delete, delete-offsets, remove-members.
#include <stdio.h>

#include "base/assert.h"
#include "cli/admin_groups.h"
#include "cli/groups_change.h"
#include "model/kerr.h"

// ------------------------------------------------------------------------------------------------ delete

int admin_groups_delete(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct groups_options *o = parsed->options;
    int result = CLI_OK;
    if (!cli_connect(cli, &o->common))
        return CLI_FAILED;
    for (uint32_t i = 0; i < parsed->argument_count; i++) {
        const char *id = parsed->arguments[i];
        int16_t code;
        if (!groups_delete(cli, id, &code))
            return CLI_FAILED;
        if (code == 0 && !o->common.json)
            buf_printf(&cli->out, "deleted group %s\n", id);
        else if (code == KERR_GROUPS_NON_EMPTY)
            result = cli_fail(cli,
                              "group '%s' has members; stop them first, or take dead ones out with 'weir admin "
                              "groups remove-members %s'",
                              id, id);
        else if (code == KERR_GROUPS_NOT_FOUND)
            result = cli_fail(cli, "there is no group '%s'; 'weir admin groups list' shows which there are", id);
        else if (code)
            result = cli_fail(cli, "group '%s': %s", id, kerr_name(code));
    }
    int done = cli_done(cli);
    return result == CLI_OK ? done : result;
}

// ------------------------------------------------------------------------------------------------ delete-offsets

int admin_groups_delete_offsets(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct groups_options *o = parsed->options;
    const char *id = parsed->arguments[0];
    struct groups_partition *list = NULL;
    uint32_t count = 0;
    int result = CLI_OK;
    int16_t *codes, code;
    if (o->topics.count == 0)
        return cli_wrong(cli, "say of what: --topic TOPIC[:P,P].");
    if (!cli_connect(cli, &o->common))
        return CLI_FAILED;
    for (uint32_t i = 0; i < o->topics.count; i++) {
        result = groups_parse_topic(cli, o->topics.items[i], &list, &count);
        if (result != CLI_OK)
            return result;
    }
    if (!groups_delete_offsets(cli, id, list, count, &code, &codes))
        return CLI_FAILED;
    if (code == KERR_GROUPS_NOT_FOUND)
        return cli_fail(cli, "there is no group '%s'; 'weir admin groups list' shows which there are", id);
    if (code)
        return cli_fail(cli, "group '%s': %s", id, kerr_name(code));
    for (uint32_t i = 0; i < count; i++) {
        if (codes[i] == KERR_GROUPS_SUBSCRIBED)
            result = cli_fail(cli, "%s partition %d: the group's members read this topic; stop them first",
                              groups_text(cli, list[i].topic), list[i].index);
        else if (codes[i])
            result = cli_fail(cli, "%s partition %d: %s", groups_text(cli, list[i].topic), list[i].index,
                              kerr_name(codes[i]));
    }
    if (result == CLI_OK && !o->common.json)
        buf_printf(&cli->out, "deleted the offsets of %u partition%s\n", count, count == 1 ? "" : "s");
    int done = cli_done(cli);
    return result == CLI_OK ? done : result;
}

// ------------------------------------------------------------------------------------------------ remove-members

// Static members are named by their instance, as brokers want it.
static uint32_t choose_members(struct cli *cli, const struct groups_options *o, const struct groups_group *g,
                               struct leave_group_request_member *out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; o->all && i < g->member_count; i++, n++) {
        leave_group_request_member_init(&out[n]);
        out[n].group_instance_id = g->members[i].instance_id;
        out[n].member_id = g->members[i].instance_id.n ? bytes_str("") : g->members[i].id;
    }
    for (uint32_t i = 0; i < o->instances.count; i++, n++) {
        leave_group_request_member_init(&out[n]);
        out[n].group_instance_id = bytes_str(o->instances.items[i]);
    }
    for (uint32_t i = 0; i < o->members.count; i++, n++) {
        leave_group_request_member_init(&out[n]);
        out[n].member_id = bytes_str(o->members.items[i]);
    }
    const char *reason = arena_printf(&cli->arena, "member was removed by an admin%s%s", o->reason ? ": " : "",
                                      o->reason ? o->reason : "");
    for (uint32_t i = 0; i < n; i++)
        out[i].reason = bytes_str(reason ? reason : "");
    return n;
}

int admin_groups_remove_members(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct groups_options *o = parsed->options;
    struct groups_group g;
    struct leave_group_response out;
    int result = CLI_OK;
    if (o->all == (o->instances.count + o->members.count > 0))
        return cli_wrong(cli, "say whom: --instance ID, --member ID, or --all.");
    if (!cli_connect(cli, &o->common) || !groups_gather(cli, parsed->arguments[0], &g))
        return CLI_FAILED;
    if (!g.exists)
        return cli_fail(cli, "there is no group '%s'; 'weir admin groups list' shows which there are", g.id);
    struct leave_group_request_member *members =
        cli_alloc(cli, (size_t)g.member_count + o->instances.count + o->members.count + 1, sizeof(*members));
    uint32_t count = choose_members(cli, o, &g, members), removed = 0;
    if (count > 0 && !groups_remove_members(cli, g.id, members, count, &out))
        return CLI_FAILED;
    for (uint32_t i = 0; count > 0 && i < out.members_count; i++) {
        struct bytes who =
            out.members[i].group_instance_id.n ? out.members[i].group_instance_id : out.members[i].member_id;
        if (out.members[i].error_code)
            result = cli_fail(cli, "member '%s': %s", groups_text(cli, who), kerr_name(out.members[i].error_code));
        else
            removed++;
    }
    if (!o->common.json)
        buf_printf(&cli->out, "removed %u member%s from group %s\n", removed, removed == 1 ? "" : "s", g.id);
    int done = cli_done(cli);
    return result == CLI_OK ? done : result;
}
