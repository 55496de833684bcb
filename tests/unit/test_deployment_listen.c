/* tests/unit/test_deployment_listen.c - meta_registry.listen and listen of services: where HTTP is served, and that no two share
 * it. */
#include "deployment_fixture.h"

TestSuite(deployment_listen, .init = set_up, .fini = tear_down, .timeout = TEST_LIMIT);

Test(deployment_listen, where_http_is_served)
{
    static const struct {
        const char *text, *listen;
        uint16_t port;
    } rows[] = {{"swarms: []\n", "127.0.0.1:4100", 4100},
                {"meta_registry: {port: 4200}\n", "127.0.0.1:4200", 4200},
                {"meta_registry: {listen: off}\n", "off", 4100},
                {"meta_registry: {listen: \"[::1]:4200\"}\n", "[::1]:4200", 4200},
                {"meta_registry: {port: 4200, listen: \"0.0.0.0:4200\"}\n", "0.0.0.0:4200", 4200},
                {"meta_registry: {listen: \"localhost:0\"}\n", "127.0.0.1:0", 4100}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ap_deployment *d = load(rows[i].text);

        cr_expect_str_eq(d->listen, rows[i].listen);
        cr_expect_eq(d->port, rows[i].port, "%s", rows[i].text);
        ap_deployment_free(d);
    }
}

Test(deployment_listen, what_is_refused)
{
    static const struct row rows[] = {
        {"meta_registry:\n  listen: here\n",
         "2: listen: 'here' is no address; expected off, or a number of an address with a port, such as 127.0.0.1:4100 or "
         "\"[::1]:4100\""},
        {"meta_registry:\n  port: 4100\n  listen: 127.0.0.1:4200\n",
         "3: listen: '127.0.0.1:4200' has another port than port, which is 4100"},
        {"meta_registry:\n  listen: 127.0.0.1:4200\nswarms:\n  - service: s\n    port: 4200\n" AGENTS,
         "5: port: 4200 is already that of meta_registry, which names none and so has 4200; give s another port, or meta_registry"},
        {"swarms:\n  - service: s\n    listen: here\n" AGENTS,
         "3: listen: 'here' is no address; expected a number of an address with a port, such as 127.0.0.1:4200 or \"[::1]:4200\""},
        {"swarms:\n  - service: s\n    listen: localhost:4100\n" AGENTS,
         "3: listen: the coordinator itself has 127.0.0.1:4100 (listen and port of meta_registry)"},
        {"swarms:\n  - service: s\n    listen: 127.0.0.1:4200\n" AGENTS "  - service: t\n    listen: localhost:4200\n" AGENTS,
         "6: listen: 's' has 127.0.0.1:4200 already"},
    };

    ALL_REFUSED(rows);
}

Test(deployment_listen, what_a_service_has_for_itself)
{
    struct ap_deployment *d = load("swarms:\n  - service: s\n    port: 4200\n    listen: localhost:4200\n" AGENTS
                                   "  - service: t\n    listen: \"[::1]:0\"\n" AGENTS
                                   "  - service: u\n    listen: \"[::1]:0\"\n" AGENTS "  - service: v\n" AGENTS);

    cr_expect_str_eq(d->swarms[0].listen, "127.0.0.1:4200", "its own port, where it serves nothing itself");
    cr_expect_str_eq(d->swarms[1].listen, "[::1]:0");
    cr_expect_str_eq(d->swarms[2].listen, "[::1]:0", "another port each time");
    cr_expect_null(d->swarms[3].listen);
    ap_deployment_free(d);
}
