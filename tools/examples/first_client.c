/* first_client.c - asks for a capability by its name and prints the answer.
 * cc first_client.c $(pkg-config --cflags --libs apiary) && ./a.out text.upper hello */
#include <apiary.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s CAPABILITY TEXT\n", argv[0]);
        return 64;
    }
    apiary_t *a;
    apiary_task_t task;
    apiary_result_t result = {.struct_size = sizeof result};
    int rc = apiary_attach(NULL, NULL, &a); /* $APIARY_SEGMENT, else /apiary */
    if (rc < 0) {
        fprintf(stderr, "attach: %s; %s\n", apiary_strerror(rc), apiary_advice(rc));
        return 3;
    }
    rc = apiary_delegate(a, argv[1], argv[2], strlen(argv[2]), NULL, &task);
    if (rc == 0) rc = apiary_await(a, task, APIARY_FOREVER, &result);
    if (rc == 0) {
        printf("%.*s\n", (int)result.size, (const char *)result.data); /* read in place */
        rc = result.code;
        apiary_release(a, &result);
    }
    if (rc < 0) fprintf(stderr, "%s: %s; %s\n", argv[1], apiary_strerror(rc), apiary_advice(rc));
    apiary_detach(a);
    return rc < 0;
}
