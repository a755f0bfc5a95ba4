// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include "server/arguments.h"
#include "server/listeners.h"

struct rig {
    struct settings s;
    struct io *io;
    struct broker_config config;
};

static struct rig r;

static bool resolve(const char *listeners, const char *advertised)
{
    memset(&r, 0, sizeof(r));
    settings_init(&r.s);
    cr_assert_eq(io_create(&r.io, &(struct io_config){.engine = IO_ENGINE_EPOLL}), RC_OK);
    settings_set(&r.s, "test", "listeners", listeners);
    if (advertised)
        settings_set(&r.s, "test", "advertised.listeners", advertised);
    cr_assert_eq(r.s.problem_count, 0, "%s", r.s.problem_count ? r.s.problems[0] : "");
    struct config_layers layers = {.properties = settings_finish(&r.s)};
    return listeners_resolve(&r.s, r.io, &layers, NULL, &r.config);
}

static void end(void)
{
    io_destroy(r.io);
    settings_deinit(&r.s);
}

static void refused(const char *listeners, const char *advertised, const char *word)
{
    cr_assert_not(resolve(listeners, advertised), "%s", listeners);
    cr_assert_geq(r.s.problem_count, 1);
    cr_assert_not_null(strstr(r.s.problems[0], word), "'%s' is not in: %s", word, r.s.problems[0]);
    end();
}

Test(listeners, a_real_address_is_advertised_as_it_is)
{
    cr_assert(resolve("PLAINTEXT://127.0.0.1:9092", NULL));
    cr_assert_eq(r.config.listener_count, 1);
    cr_assert_str_eq(r.config.listeners[0].name, "PLAINTEXT");
    cr_assert_str_eq(r.config.listeners[0].advertised_host, "127.0.0.1");
    cr_assert_eq(r.config.listeners[0].advertised_port, 9092);
    cr_assert_eq(r.config.listeners[0].listen.port, 9092);
    end();
}

Test(listeners, every_address_needs_an_advertised_one)
{
    refused("PLAINTEXT://0.0.0.0:9092", NULL, "--advertise");
    refused("PLAINTEXT://:9092", NULL, "--advertise");
    refused("PLAINTEXT://[::]:9092", NULL, "--advertise");
    refused("PLAINTEXT://0.0.0.0:9092", "PLAINTEXT://0.0.0.0:9092", "0.0.0.0");
    cr_assert(resolve("PLAINTEXT://0.0.0.0:9092", "PLAINTEXT://broker.example:19092"));
    cr_assert_str_eq(r.config.listeners[0].advertised_host, "broker.example");
    cr_assert_eq(r.config.listeners[0].advertised_port, 19092);
    end();
}

Test(listeners, several_with_their_own_names)
{
    cr_assert(resolve("PLAINTEXT://127.0.0.1:9092,PLAINTEXT://127.0.0.1:9092", NULL) == false);
    end();
    refused("PLAINTEXT://127.0.0.1:9092,PLAINTEXT://127.0.0.1:9093", NULL, "two named");
}

Test(listeners, what_is_no_listener_is_refused)
{
    refused("127.0.0.1:9092", NULL, "NAME://HOST:PORT");
    refused("PLAINTEXT://127.0.0.1", NULL, "NAME://HOST:PORT");
    refused("PLAINTEXT://127.0.0.1:99999", NULL, "NAME://HOST:PORT");
    refused("PLAINTEXT://127.0.0.1:9x", NULL, "NAME://HOST:PORT");
    refused("SASL_SSL://127.0.0.1:9092", NULL, "SASL_SSL");
}

Test(listeners, ipv6_addresses)
{
    cr_assert(resolve("PLAINTEXT://[::1]:9092", NULL));
    cr_assert_str_eq(r.config.listeners[0].advertised_host, "::1");
    cr_assert(io_addr_is_loopback(&r.config.listeners[0].listen));
    end();
}

// ------------------------------------------------------------------------------------------------ flags

static struct arguments scan(int argc, char **argv, bool ok)
{
    struct arguments a;
    char message[256] = "";
    cr_assert_eq(arguments_scan(&a, argc, argv, message, sizeof(message)), ok, "%s", message);
    cr_assert(ok || message[0]);
    return a;
}

Test(arguments, flags_become_settings)
{
    char *argv[] = {"server", "file.properties", "--id=4", "--listen", "127.0.0.1:1234", "--set", "broker.rack=a=b", NULL};
    struct arguments a = scan(7, argv, true);
    cr_assert_str_eq(a.file, "file.properties");
    struct settings s;
    settings_init(&s);
    arguments_apply(&a, &s, 7, argv);
    cr_assert_eq(s.problem_count, 0);
    struct config_layer layer = settings_finish(&s);
    cr_assert_eq(layer.count, 3);
    cr_assert_str_eq(layer.pairs[0].value, "a=b");
    cr_assert_str_eq(layer.pairs[1].value, "PLAINTEXT://127.0.0.1:1234");
    cr_assert_str_eq(layer.pairs[2].value, "4");
    settings_deinit(&s);
}

Test(arguments, mistakes_are_named)
{
    char *unknown[] = {"server", "--nonsense", NULL};
    scan(2, unknown, false);
    char *missing[] = {"server", "--id", NULL};
    scan(2, missing, false);
    char *two[] = {"server", "a", "b", NULL};
    scan(3, two, false);
    char *help[] = {"server", "--help", NULL};
    cr_assert(scan(2, help, true).help);
    char *check[] = {"server", "--check", "f", NULL};
    cr_assert(scan(3, check, true).check);
}
