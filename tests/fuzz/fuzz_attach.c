/* tests/fuzz/fuzz_attach.c - a file of arbitrary bytes where a segment should be: attach refuses it or can work with it.
 *
 * Input: how (1 byte), cut (2 bytes), patches to a sound segment. how: bit 0 the bytes behind the third are the file itself
 * and no patches, 1 its size is not the segment's, 2 read-only, 3 the handle's operations as well. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/world.h"

const char fuzz_target[] = "attach";
const size_t fuzz_longest = 4096;

static int file = -1;

static void file_set(const uint8_t *bytes, uint64_t size)
{
    static uint64_t before;

    if (size != before) FUZZ_REQUIRE(ftruncate(file, (off_t)size) == 0);
    before = size;
    for (uint64_t done = 0; done < size;) {
        ssize_t n = pwrite(file, bytes + done, size - done, (off_t)done);
        FUZZ_REQUIRE(n > 0);
        done += (uint64_t)n;
    }
}

/* The segment's own page size or not, empty, or longer than it says. */
static uint64_t size_of(uint8_t how, uint16_t cut, uint64_t size)
{
    if ((how & 2) == 0) return size;
    if (cut < 0x8000) return (uint64_t)cut * 5 % (size + 1);
    return size + (cut & 0x3fff);
}

static void use(bool read_only)
{
    const apiary_attach_options_t o = {.struct_size = sizeof o, .name = "fuzz", .swarm = "caller", .read_only = read_only};
    apiary_provider_t providers[4] = {{.struct_size = sizeof providers[0]}};
    apiary_swarm_status_t rows[4] = {{.struct_size = sizeof rows[0]}};
    apiary_t *a;
    int n;

    if (apiary_attach_fd(file, &o, &a) < 0) return;
    a->seg->ops = &world_ops;
    n = apiary_discover(a, "echo", providers, 4);
    for (int i = 0; i < n && i < 4; i++)
        FUZZ_REQUIRE(strlen(providers[i].service) + strlen(providers[i].instance) + strlen(providers[i].agent) <
                     3 * sizeof providers[i].agent);
    n = apiary_swarm_status(a, NULL, rows, 4);
    for (int i = 0; i < n && i < 4; i++)
        FUZZ_REQUIRE(strlen(rows[i].service) + strlen(rows[i].instance) + strlen(rows[i].version) < 3 * sizeof rows[i].version);
    apiary_delegate(a, "echo", "body", 4, NULL, &(apiary_task_t){0});
    FUZZ_REQUIRE(apiary_detach(a) == 0);
}

void fuzz_one(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    uint8_t how = fuzz_byte(&in);
    uint16_t cut = (uint16_t)fuzz_number(&in, 2);
    const struct ap_segment *view;
    uint64_t whole, length;
    const uint8_t *image = world_image(&view, &whole);
    size_t mapped = fuzz_mapped();
    struct ap_segment *seg;
    char message[512];
    static uint8_t bytes[1 << 21];

    FUZZ_REQUIRE(whole + 0x4008 <= sizeof bytes);
    if (file < 0) FUZZ_REQUIRE((file = memfd_create("segment", MFD_CLOEXEC)) >= 0);
    length = (how & 1) != 0 ? in.left : size_of(how, cut, whole);
    memset(bytes, 0, length + 8);
    if ((how & 1) != 0) {
        if (in.left > 0) memcpy(bytes, in.at, in.left);
    } else {
        memcpy(bytes, image, whole);
        while (in.left >= PATCH_SIZE) {
            struct patch p = patch_read(&in);
            patch_apply(view, bytes, &p, true);
        }
    }
    file_set(bytes, length);
    if (ap_segment_attach_fd(file, (how & 4) == 0, &ap_shm_parts, message, sizeof message, &seg) == 0) ap_segment_unmap(seg);
    else FUZZ_REQUIRE(strlen(message) < sizeof message);
    if (ap_registry_attach_fd(file, (how & 4) == 0, message, sizeof message, &seg) == 0) {
        struct ap_report report = {.found = NULL};

        FUZZ_REQUIRE(seg->section_count == AP_REGISTRY_SECTIONS_END);
        for (uint32_t i = 0; i < seg->section_count; i++)
            FUZZ_REQUIRE(seg->sections[i].offset + seg->sections[i].stride * seg->sections[i].count <= seg->size);
        ap_segment_check(seg, &report);
        ap_segment_unmap(seg);
    }
    if ((how & 8) != 0) use((how & 4) != 0);
    FUZZ_REQUIRE(fuzz_mapped() == mapped); /* whatever was said, nothing is left behind */
}
