/* agents/deployment/deployment_listen.c - where the coordinator serves a swarm's own /health and /metrics. See deployment.h. */
#include <stdio.h>
#include <string.h>

#include "agents/deployment/deployment.h"
#include "agents/deployment/deployment_int.h"
#include "core/address.h"
#include "core/text.h"

/* Port 0 is another one each time. */
static bool listen_same(const char *a, const char *b)
{
    struct sockaddr_storage address;
    socklen_t size;

    return strcmp(a, b) == 0 && ap_address_read(a, &address, &size) == 0 && ap_address_port(&address) != 0;
}

int ap_deployment_read_listen(struct ap_loader *l, struct ap_deployment_swarm *s)
{
    const char *text = ap_node_text(s->node, "listen", NULL);
    const struct ap_node *at = ap_node_get(s->node, "listen");
    struct sockaddr_storage address;
    char *own;
    socklen_t size;

    if (text == NULL) return 0;
    if (ap_address_read(text, &address, &size) < 0)
        return ap_node_refuse(at, l->error, "listen: '%s' is no address; expected a number of an address with a port, such as "
                              "127.0.0.1:4200 or \"[::1]:4200\"", AP_SHOWN(text, 64));
    own = ap_config_alloc(l->d->config, AP_ADDRESS_TEXT);
    if (own == NULL) return APIARY_ENOBLOCK;
    ap_address_print(&address, own);
    s->listen = own;
    if (listen_same(own, l->d->listen))
        return ap_node_refuse(at, l->error, "listen: the coordinator itself has %s (listen and port of meta_registry)", own);
    for (const struct ap_deployment_swarm *other = l->d->swarms; other < s; other++)
        if (other->listen != NULL && listen_same(own, other->listen))
            return ap_node_refuse(at, l->error, "listen: '%s' has %s already", other->service, own);
    return 0;
}
