/* dlopened - dlopened LIBRARY SEGMENT CAPABILITY: a program that has the library for a while only. Two threads use a handle, which
 * is detached; the library is closed; then the threads end. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/apiary.h"

static __typeof__(apiary_attach) *attach;
static __typeof__(apiary_call) *call;
static __typeof__(apiary_detach) *detach;
static const char *capability;
static pthread_barrier_t barrier;
static apiary_t *a;

static void *use(void *user)
{
    char back[8];
    size_t size;

    (void)user;
    pthread_barrier_wait(&barrier);
    if (call(a, capability, "x", 1, APIARY_TIMEOUT(APIARY_FOREVER), back, sizeof back, &size) != 0) _Exit(1);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier); /* the library is closed between these */
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread[2];
    void *library = argc == 4 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;

    if (library == NULL) {
        fprintf(stderr, "%s\n", argc == 4 ? dlerror() : "dlopened LIBRARY SEGMENT CAPABILITY");
        return 64;
    }
    *(void **)&attach = dlsym(library, "apiary_attach");
    *(void **)&call = dlsym(library, "apiary_call");
    *(void **)&detach = dlsym(library, "apiary_detach");
    capability = argv[3];
    pthread_barrier_init(&barrier, NULL, 3);
    for (int i = 0; i < 2; i++)
        if (pthread_create(&thread[i], NULL, use, NULL) != 0) return 1;
    if (attach(argv[2], NULL, &a) != 0) return 1;
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    if (detach(a) != 0) return 1;
    dlclose(library);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
    return 0;
}
