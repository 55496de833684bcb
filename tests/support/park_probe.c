/* park_probe VARIANT COMMAND...: runs the command if this machine can park that way, else exits 77 (skipped).
 *
 * It asks the kernel itself and not the library: a library that wrongly finds a variant missing must fail its tests.
 */
#include <liburing.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FUTEX_WAIT_OPCODE 51

static int ring_can(int opcode) /* -1: no ring at all */
{
    struct io_uring ring;
    if (io_uring_queue_init(8, &ring, 0) != 0) {
        return -1;
    }
    int can = 0;
    struct io_uring_probe *probe = io_uring_get_probe_ring(&ring);
    if (probe) {
        can = io_uring_opcode_supported(probe, opcode);
        io_uring_free_probe(probe);
    }
    io_uring_queue_exit(&ring);
    return can;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: park_probe uring|parker|poll COMMAND...\n");
        return 2;
    }
    int can = ring_can(FUTEX_WAIT_OPCODE);
    if (strcmp(argv[1], "uring") == 0 && can != 1) {
        printf("skipped: no FUTEX_WAIT in this kernel's io_uring\n");
        return 77;
    }
    if (strcmp(argv[1], "parker") == 0 && can < 0) {
        printf("skipped: no io_uring here\n");
        return 77;
    }
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 127;
}
