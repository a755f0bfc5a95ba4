// SPDX-License-Identifier: Apache-2.0
//
// What disk.c and disk_names.c share.
#pragma once

#include "disk.h"

// At least `bytes` at *p, the new ones zero. Never inlined: what counts instructions leaves it out by its name.
void sim_disk_double(uint8_t **p, size_t *cap, size_t bytes);
void sim_disk_inode_free(struct sim_inode *i);
// Makes the changes of names in dir (NULL: everywhere) up to serial durable.
void sim_disk_names_commit(struct sim_disk *d, const struct sim_inode *dir, uint64_t serial);
void sim_disk_names_power_cut(struct sim_disk *d);

// Picks one file of all whose names end in suffix, each as likely as the other.
struct sim_disk_pick {
    const char *suffix;
    struct prng *prng;
    uint64_t seen;
    struct sim_inode *inode;
    char *path;
    size_t path_bytes;
};
void sim_disk_pick_visit(void *context, const char *path, struct sim_inode *i);
