/* core/address.c - see address.h. */
#include "core/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A number up to 65,535 in digits alone. */
static int address_port(const char *text, in_port_t *ret)
{
    size_t n = strspn(text, "0123456789");
    unsigned long port = n > 0 && n <= 5 && text[n] == '\0' ? strtoul(text, NULL, 10) : UINT16_MAX + 1UL;

    if (port > UINT16_MAX) return -1;
    *ret = htons((uint16_t)port);
    return 0;
}

int ap_address_read(const char *text, struct sockaddr_storage *ret, socklen_t *ret_size)
{
    const char *colon = strrchr(text, ':');
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sockaddr_in four = {.sin_family = AF_INET};
    size_t n = colon != NULL ? (size_t)(colon - text) : 0;
    char host[INET6_ADDRSTRLEN + 1];
    bool bracket = text[0] == '[' && n > 2 && text[n - 1] == ']';

    if (colon == NULL || n - 2 * bracket >= sizeof host) return -1;
    snprintf(host, sizeof host, "%.*s", (int)(n - 2 * bracket), text + bracket);
    memset(ret, 0, sizeof *ret);
    if (bracket) {
        if (inet_pton(AF_INET6, host, &six.sin6_addr) != 1 || address_port(colon + 1, &six.sin6_port) < 0) return -1;
        memcpy(ret, &six, sizeof six);
        *ret_size = sizeof six;
        return 0;
    }
    if (strcmp(host, "localhost") == 0) four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else if (inet_pton(AF_INET, host, &four.sin_addr) != 1) return -1;
    if (address_port(colon + 1, &four.sin_port) < 0) return -1;
    memcpy(ret, &four, sizeof four);
    *ret_size = sizeof four;
    return 0;
}

void ap_address_print(const struct sockaddr_storage *address, char ret[AP_ADDRESS_TEXT])
{
    char host[INET6_ADDRSTRLEN] = "?";
    bool six = address->ss_family == AF_INET6;
    const void *at = six ? (const void *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr
                         : (const void *)&((const struct sockaddr_in *)(const void *)address)->sin_addr;

    inet_ntop(address->ss_family, at, host, sizeof host);
    snprintf(ret, AP_ADDRESS_TEXT, six ? "[%s]:%u" : "%s:%u", host, ap_address_port(address));
}

uint16_t ap_address_port(const struct sockaddr_storage *address)
{
    return ntohs(address->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)(const void *)address)->sin6_port
                                                : ((const struct sockaddr_in *)(const void *)address)->sin_port);
}

bool ap_address_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET6) {
        const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;

        return IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127);
    }
    return ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24 == 127;
}
