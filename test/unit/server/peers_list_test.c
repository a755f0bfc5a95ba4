// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include "server/peers_list.h"

static bool is_self(const char *bootstrap, const char *listeners, const char *advertised)
{
    struct settings s;
    settings_init(&s);
    settings_set(&s, "test", "controller.quorum.bootstrap.servers", bootstrap);
    settings_set(&s, "test", "controller.listener.names", "CONTROLLER");
    settings_set(&s, "test", "listeners", listeners);
    if (advertised)
        settings_set(&s, "test", "advertised.listeners", advertised);
    cr_assert_eq(s.problem_count, 0, "%s", s.problem_count ? s.problems[0] : "");
    struct config_layers layers = {.properties = settings_finish(&s)};
    bool yes = peers_list_bootstrap_is_self(&layers);
    settings_deinit(&s);
    return yes;
}

Test(peers_list, the_stock_file_of_a_node_by_itself_names_itself)
{
    cr_assert(is_self("localhost:9093", "PLAINTEXT://:9092,CONTROLLER://:9093", NULL));
    cr_assert(is_self("127.0.0.1:9093", "PLAINTEXT://:9092,CONTROLLER://:9093", NULL));
    cr_assert(is_self("kafka:9093", "PLAINTEXT://:9092,CONTROLLER://kafka:9093", NULL));
    cr_assert(is_self("kafka:9093", "PLAINTEXT://:9092,CONTROLLER://:9093",
                      "PLAINTEXT://kafka:9092,CONTROLLER://kafka:9093"));
}

Test(peers_list, other_places_are_other_nodes)
{
    cr_assert_not(is_self("localhost:9093,localhost:9094", "PLAINTEXT://:9092,CONTROLLER://:9093", NULL));
    cr_assert_not(is_self("localhost:9095", "PLAINTEXT://:9092,CONTROLLER://:9093", NULL));
    cr_assert_not(is_self("other:9093", "PLAINTEXT://:9092,CONTROLLER://:9093", NULL));
    cr_assert_not(is_self("localhost:9092", "PLAINTEXT://:9092,CONTROLLER://:9093", NULL));
    cr_assert_not(is_self("localhost:9093", "PLAINTEXT://:9092", NULL));
    cr_assert_not(is_self("localhost", "PLAINTEXT://:9092,CONTROLLER://:9093", NULL));
}
