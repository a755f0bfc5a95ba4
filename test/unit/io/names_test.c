// SPDX-License-Identifier: Apache-2.0
//
// Names that are looked up without holding up the loop. The resolver here answers when the test says so.
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "rig.h"

typedef int lookup_fn(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found);

static sem_t answers; // one for each lookup of a ".slow" name
static atomic_uint lookups;
static const char *stands_for; // NULL: nothing

// Before libc's.
lookup_fn getaddrinfo;
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    union {
        void *p;
        lookup_fn *f;
    } next = {.p = dlsym(RTLD_NEXT, "getaddrinfo")};
    if (!strstr(name, ".slow"))
        return next.f(name, service, hints, found);
    atomic_fetch_add(&lookups, 1);
    while (sem_wait(&answers) != 0)
        ;
    return stands_for ? next.f(stands_for, service, hints, found) : EAI_AGAIN;
}

static void begin(const char *meaning)
{
    sem_init(&answers, 0, 0);
    atomic_store(&lookups, 0);
    stands_for = meaning;
}

static enum rc ask(struct io *io, const char *host, struct io_addr *a)
{
    memset(a, 0x55, sizeof(*a));
    return io_resolve_soon(io, host, 9092, a);
}

// Until the lookup under way has been told.
static enum rc ask_until_told(struct io *io, const char *host, struct io_addr *a)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    enum rc rc = RC_AGAIN;
    for (int i = 0; i < 10000 && rc == RC_AGAIN; i++) {
        nanosleep(&pause, NULL);
        io_poll(io, 0);
        rc = ask(io, host, a);
    }
    return rc;
}

static void expect(const struct io_addr *a, const char *text)
{
    char got[IO_ADDR_TEXT_MAX];
    io_addr_format(a, got);
    cr_assert_str_eq(got, text);
}

IO_TEST(names, a_lookup_holds_up_nobody)
{
    struct io_addr a;
    begin("127.0.0.7");
    for (int i = 0; i < 5; i++) { // one lookup, however often it is asked for
        cr_assert_eq(ask(r->io, "a.slow", &a), RC_AGAIN);
        cr_assert_eq(a.port, 0, "nothing is known of it");
    }
    cr_assert_eq(ask(r->io, "127.0.0.9", &a), RC_OK, "an address needs no lookup");
    expect(&a, "127.0.0.9:9092");
    cr_assert_eq(ask(r->io, "", &a), RC_INVALID);
    sem_post(&answers);
    cr_assert_eq(ask_until_told(r->io, "a.slow", &a), RC_OK);
    expect(&a, "127.0.0.7:9092");
    cr_assert_eq(ask(r->io, "a.slow", &a), RC_OK, "it counts for a while");
    cr_assert_eq(atomic_load(&lookups), 1);
}

IO_TEST(names, a_failure_is_told_and_forgotten)
{
    struct io_addr a;
    begin(NULL);
    cr_assert_eq(ask(r->io, "b.slow", &a), RC_AGAIN);
    sem_post(&answers);
    cr_assert_eq(ask_until_told(r->io, "b.slow", &a), RC_UNREACHABLE);
    cr_assert_eq(ask(r->io, "b.slow", &a), RC_UNREACHABLE);
    stands_for = "127.0.0.8";
    sem_post(&answers);
    enum rc rc = RC_UNREACHABLE;
    for (int i = 0; i < 20 && rc == RC_UNREACHABLE; i++) { // a second later
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        io_poll(r->io, 0);
        rc = ask(r->io, "b.slow", &a);
    }
    cr_assert_eq(rc, RC_AGAIN);
    cr_assert_eq(ask_until_told(r->io, "b.slow", &a), RC_OK);
    expect(&a, "127.0.0.8:9092");
}

// The sixty-fifth name pushes the first out, and its lookup is left to itself.
IO_TEST(names, only_so_many_are_kept)
{
    struct io_addr a;
    char name[32];
    begin("127.0.0.7");
    for (int i = 0; i < 65; i++) {
        snprintf(name, sizeof(name), "h%d.slow", i);
        cr_assert_eq(ask(r->io, name, &a), RC_AGAIN);
    }
    for (int i = 0; i < 65; i++)
        sem_post(&answers);
    for (int i = 1; i < 65; i++) {
        snprintf(name, sizeof(name), "h%d.slow", i);
        cr_assert_eq(ask_until_told(r->io, name, &a), RC_OK, "%s", name);
    }
    cr_assert_eq(ask(r->io, "h0.slow", &a), RC_AGAIN);
    sem_post(&answers);
    cr_assert_eq(ask_until_told(r->io, "h0.slow", &a), RC_OK);
    cr_assert_eq(atomic_load(&lookups), 66);
}

// A loop that ends waits for no lookup.
IO_TEST(names, a_lookup_outlives_its_loop)
{
    struct io_addr a;
    begin("127.0.0.7");
    cr_assert_eq(ask(r->io, "c.slow", &a), RC_AGAIN);
}
