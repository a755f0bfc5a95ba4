// SPDX-License-Identifier: Apache-2.0
#include "cli/groups_change.h"

#include "model/kerr.h"

static int16_t delete_code(const void *answer)
{
    const struct delete_groups_response *out = answer;
    return out->results_count == 1 ? out->results[0].error_code : -1;
}

bool groups_delete(struct cli *cli, const char *id, int16_t *code)
{
    struct delete_groups_request in;
    struct delete_groups_response out;
    struct bytes name = bytes_str(id);
    int32_t coordinator;
    delete_groups_request_init(&in);
    in.groups_names = &name;
    in.groups_names_count = 1;
    if (!groups_ask(cli, id, &delete_groups_request_message, &in, &delete_groups_response_message, &out, delete_code,
                    &coordinator))
        return false;
    *code = delete_code(&out);
    return true;
}

// ------------------------------------------------------------------------------------------------ offsets

static int16_t offsets_code(const void *answer)
{
    return ((const struct offset_delete_response *)answer)->error_code;
}

static void write_topics(struct cli *cli, const struct groups_partition *list, uint32_t count,
                         struct offset_delete_request *in)
{
    struct offset_delete_request_partition *partitions = cli_alloc(cli, (size_t)count + 1, sizeof(*partitions));
    in->topics = cli_alloc(cli, (size_t)count + 1, sizeof(*in->topics));
    in->topics_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        partitions[i].partition_index = list[i].index;
        if (i == 0 || !bytes_eq(list[i].topic, list[i - 1].topic)) {
            in->topics[in->topics_count].name = list[i].topic;
            in->topics[in->topics_count++].partitions = &partitions[i];
        }
        in->topics[in->topics_count - 1].partitions_count++;
    }
}

bool groups_delete_offsets(struct cli *cli, const char *id, const struct groups_partition *list, uint32_t count,
                           int16_t *code, int16_t **codes)
{
    struct offset_delete_request in;
    struct offset_delete_response out;
    int32_t coordinator;
    offset_delete_request_init(&in);
    in.group_id = bytes_str(id);
    write_topics(cli, list, count, &in);
    *codes = cli_alloc(cli, (size_t)count + 1, sizeof(**codes));
    if (!groups_ask(cli, id, &offset_delete_request_message, &in, &offset_delete_response_message, &out, offsets_code,
                    &coordinator))
        return false;
    *code = out.error_code;
    for (uint32_t t = 0; t < out.topics_count && *code == 0; t++)
        for (uint32_t k = 0; k < out.topics[t].partitions_count; k++)
            for (uint32_t i = 0; i < count; i++)
                if (list[i].index == out.topics[t].partitions[k].partition_index &&
                    bytes_eq(list[i].topic, out.topics[t].name))
                    (*codes)[i] = out.topics[t].partitions[k].error_code;
    return true;
}

// ------------------------------------------------------------------------------------------------ members

static int16_t leave_code(const void *answer)
{
    return ((const struct leave_group_response *)answer)->error_code;
}

bool groups_remove_members(struct cli *cli, const char *id, struct leave_group_request_member *members, uint32_t count,
                           struct leave_group_response *out)
{
    struct leave_group_request in;
    int32_t coordinator;
    leave_group_request_init(&in);
    in.group_id = bytes_str(id);
    in.members = members;
    in.members_count = count;
    if (!groups_ask(cli, id, &leave_group_request_message, &in, &leave_group_response_message, out, leave_code,
                    &coordinator))
        return false;
    if (out->error_code) {
        cli_fail(cli, "group '%s': %s", id, kerr_name(out->error_code));
        return false;
    }
    return true;
}
