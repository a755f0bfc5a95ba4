// SPDX-License-Identifier: Apache-2.0
#include "classic_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct rig *classic_begin(void)
{
    static struct rig rig;
    rig = (struct rig){0};
    rig_begin(&rig);
    return &rig;
}

int16_t classic_join_code(struct rig_call *c)
{
    cr_assert(c->back && c->call.response);
    int16_t code = rig_joined(c)->error_code;
    rig_call_free(c);
    return code;
}

int16_t classic_sync_code(struct rig_call *c)
{
    cr_assert(c->back && c->call.response);
    int16_t code = rig_synced(c)->error_code;
    rig_call_free(c);
    return code;
}

struct rig_call *classic_leave_made(const char *group, int16_t version, const char *member, const char *instance)
{
    struct rig_call *c = rig_call_new(GROUP_LEAVE, version, group);
    leave_group_request_init(&c->leave);
    c->call.request = &c->leave;
    c->leave.member_id = rig_copied(c, member);
    c->leave.members = arena_alloc(&c->arena, sizeof(*c->leave.members));
    c->leave.members_count = 1;
    c->leave.members->member_id = rig_copied(c, member);
    c->leave.members->group_instance_id = rig_copied(c, instance);
    c->leave.members->reason = bytes_str("closing");
    return c;
}

int16_t classic_leave(struct rig *r, const char *group, int16_t version, const char *member, const char *instance)
{
    struct rig_call *c = classic_leave_made(group, version, member, instance);
    rig_send(r, c);
    cr_assert(c->back && c->call.response);
    const struct leave_group_response *out = c->call.response;
    int16_t code = version < 3 || out->error_code ? out->error_code : out->members->error_code;
    rig_call_free(c);
    return code;
}

struct classic_told classic_joined(struct rig_call *c)
{
    struct classic_told m = {0};
    cr_assert(c->back && c->call.response);
    cr_assert_eq(rig_joined(c)->error_code, 0);
    snprintf(m.id, sizeof(m.id), "%s", rig_text(rig_joined(c)->member_id));
    m.generation = rig_joined(c)->generation_id;
    m.leads = bytes_eq(rig_joined(c)->leader, rig_joined(c)->member_id);
    m.members = rig_joined(c)->members_count;
    rig_call_free(c);
    return m;
}

void classic_two(struct rig *r, const char *first, const char *second, struct classic_told *a, struct classic_told *b)
{
    struct rig_call *x = rig_join(r, "g", "", first, 3), *y = rig_join(r, "g", "", second, 3);
    cr_assert(!x->back && !y->back);
    rig_advance(r, 6000);
    *a = classic_joined(x);
    *b = classic_joined(y);
    cr_assert(a->leads && !b->leads && a->members == 2 && b->members == 0);
    cr_assert_eq(a->generation, b->generation);
    struct rig_call *s = rig_sync(r, "g", b->id, b->generation, NULL, 0);
    cr_assert_not(s->back);
    const char *assigned[] = {a->id, "left", b->id, "right"};
    struct rig_call *l = rig_sync(r, "g", a->id, a->generation, assigned, 4);
    cr_assert(s->back && l->back);
    cr_assert_str_eq(rig_text(rig_synced(l)->assignment), "left");
    cr_assert_str_eq(rig_text(rig_synced(s)->assignment), "right");
    cr_assert_str_eq(rig_text(rig_synced(s)->protocol_name), "range");
    cr_assert_str_eq(rig_text(rig_synced(s)->protocol_type), "consumer");
    rig_call_free(s);
    rig_call_free(l);
    cr_assert_str_eq(rig_state(r, "g"), "Stable");
}
