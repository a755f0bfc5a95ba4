// SPDX-License-Identifier: Apache-2.0
//
// See node_program.h.
#include "node_program.h"

#include <stdio.h>
#include <string.h>

void node_program_listen(struct broker_config *b, const struct sim_node *machine, uint16_t port)
{
    b->listener_count = 1;
    snprintf(b->listeners[0].name, sizeof(b->listeners[0].name), "PLAINTEXT");
    memcpy(b->listeners[0].listen.ip, machine->ip, sizeof(machine->ip));
    b->listeners[0].listen.port = port;
    snprintf(b->listeners[0].advertised_host, sizeof(b->listeners[0].advertised_host), "%s", machine->name);
    b->listeners[0].advertised_port = port;
    b->request_bytes_max = 4 << 20;
    b->idle_ms_max = 600000;
    b->fetch_bytes_max = 1 << 20;
    b->delete_topics = true;
}

void node_program_adopt(struct sim_process *p, struct node *n, void (*changed)(struct node *n))
{
    n->owner = p;
    n->changed = changed;
    p->program = n;
    p->shards = &n->shards;
}
