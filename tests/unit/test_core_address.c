/* tests/unit/test_core_address.c - addresses to listen at, as texts. */
#include <criterion/criterion.h>

#include "core/address.h"

TestSuite(address, .timeout = TEST_LIMIT);

static const struct {
    const char *text, *again;
    uint16_t port;
    bool loopback;
} good[] = {
    {"127.0.0.1:4100", "127.0.0.1:4100", 4100, true}, {"localhost:1", "127.0.0.1:1", 1, true},
    {"127.8.9.1:0", "127.8.9.1:0", 0, true},          {"0.0.0.0:65535", "0.0.0.0:65535", 65535, false},
    {"[::1]:4100", "[::1]:4100", 4100, true},         {"[::]:80", "[::]:80", 80, false},
    {"10.0.0.1:80", "10.0.0.1:80", 80, false},        {"[fe80::1]:80", "[fe80::1]:80", 80, false},
};

Test(address, these_are_some)
{
    struct sockaddr_storage a;
    char text[AP_ADDRESS_TEXT];
    socklen_t size;

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        cr_assert_eq(ap_address_read(good[i].text, &a, &size), 0, "%s", good[i].text);
        ap_address_print(&a, text);
        cr_expect_str_eq(text, good[i].again);
        cr_expect_eq(ap_address_port(&a), good[i].port, "%s", good[i].text);
        cr_expect_eq(ap_address_loopback(&a), good[i].loopback, "%s", good[i].text);
    }
}

Test(address, these_are_none)
{
    static const char *const bad[] = {"",           "4100",       ":4100",      "127.0.0.1",  "127.0.0.1:",  "127.0.0.1:65536",
                                      "1.2.3:80",   "::1:80",     "[::1]",      "[::1:80",    "[]:80",       "127.0.0.1:-1",
                                      "host.lan:1", "127.1:80 ",  "[127.1]:80", "127.0.0.1:+1", "127.0.0.1:000080",
                                      "[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]:80"};
    struct sockaddr_storage a;
    socklen_t size;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) cr_expect_eq(ap_address_read(bad[i], &a, &size), -1, "%s", bad[i]);
}
