// SPDX-License-Identifier: Apache-2.0
//
// Requests that nobody answered: the member closed their connection and goes on, and what it sent reaches the broker
// whenever the network lets it. A join, which says "I own nothing", is believed then, too: KIP-848 lets a member join again
// with epoch 0 at any time, and nothing tells the late one from a new one. So is a heartbeat that lists less than the
// member has by now, as long as its epoch is the last but one.
#include "group_world.h"

#include "base/assert.h"
#include "net.h"

void member_unanswered(struct group_member *m, uint32_t kept)
{
    member_look_late(m);
    bool last = !m->commit.busy; // given back in the order of sending
    uint64_t serial = sim_io_closed_last(m->groups->shard->io);
    for (uint32_t i = 0; i < m->late_count; i++)
        if (m->late[i].serial == serial) {
            m->late[i].kept &= kept;
            m->late[i].last = m->late[i].last && last;
            return;
        }
    ASSERT(m->late_count < GROUP_LATE_MAX);
    m->late[m->late_count++] = (struct group_late){.serial = serial, .kept = kept, .last = last};
}

void member_look_late(struct group_member *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->late_count; i++) {
        enum net_fate fate = net_fate_of(m->w->sim, m->late[i].serial);
        if (fate != NET_COMING || !m->late[i].last)
            model_group_late(member_model(m), m->index, m->late[i].kept, m->w->sim->now_ns);
        if (fate != NET_OVER)
            m->late[n++] = m->late[i];
    }
    m->late_count = n;
}

void member_holds(struct group_member *m, uint32_t mask, uint32_t renewed)
{
    struct group_clients *g = m->groups;
    for (uint32_t k = 0; k < m->w->groups[m->group].member_count; k++)
        member_look_late(&g->members[m->group][k]);
    model_group_hold(member_model(m), m->w->sim, m->index, mask, renewed, m->request_sent.ns, member_lease_ns(m));
}
