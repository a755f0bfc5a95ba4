// SPDX-License-Identifier: Apache-2.0
//
// Runs a fuzz target over files and folders, where the compiler has no libFuzzer. Options (-...) are passed over.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return 0;
    uint8_t *p = malloc(1 << 20);
    size_t n = fread(p, 1, 1 << 20, f);
    fclose(f);
    uint8_t *exact = malloc(n ? n : 1); // of exactly its size, so that a sanitizer sees what reads beyond
    for (size_t i = 0; i < n; i++)
        exact[i] = p[i];
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    free(p);
    return 1;
}

int main(int argc, char **argv)
{
    int count = 0;
    for (int i = 1; i < argc; i++) {
        DIR *d = argv[i][0] == '-' ? NULL : opendir(argv[i]);
        if (!d && argv[i][0] != '-')
            count += run_file(argv[i]);
        for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
            char path[4096];
            snprintf(path, sizeof(path), "%.3000s/%s", argv[i], e->d_name);
            if (e->d_name[0] != '.')
                count += run_file(path);
        }
        if (d)
            closedir(d);
    }
    printf("%d inputs\n", count);
    return count > 0 ? 0 : 1;
}
