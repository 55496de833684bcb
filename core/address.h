/* core/address.h - an address to listen at, as a text: "127.0.0.1:4100", "[::1]:4100", "localhost:4100". Names of other hosts are
 * none: nobody is asked for them.
 */
#ifndef AP_ADDRESS_H
#define AP_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/must_check.h"

#define AP_ADDRESS_TEXT 64u

/* 0, or -1: it is none. `size` is that of the address in *ret. Port 0: any that is free. */
AP_MUST_CHECK int ap_address_read(const char *text, struct sockaddr_storage *ret, socklen_t *ret_size);
void ap_address_print(const struct sockaddr_storage *address, char ret[AP_ADDRESS_TEXT]);
uint16_t ap_address_port(const struct sockaddr_storage *address);
/* Whether only this host can reach it. */
bool ap_address_loopback(const struct sockaddr_storage *address);

#endif
