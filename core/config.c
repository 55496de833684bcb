/* core/config.c - from YAML text to a tree of nodes; what a mapping may hold is judged in config_check.c. */
#include "core/config.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <yaml.h>

#include "core/apiary.h"
#include "core/descriptor.h"
#include "core/text.h"

#define TEXT_MAX ((size_t)1 << 20)
#define DEPTH_MAX 16u
#define NODES_MAX 65536u
#define KEYS_MAX 256u
#define CHUNK ((size_t)16 << 10)

struct chunk {
    struct chunk *next;
    size_t used, size;
    _Alignas(16) unsigned char bytes[];
};

struct ap_config {
    struct chunk *chunks;
    const struct ap_node *root;
    const char *file, *folder; /* folder: NULL until it is asked for */
};

/* While it is being read. */
struct reader {
    struct ap_config *config;
    struct ap_config_error *error;
    yaml_parser_t parser;
    const char *file, *text;
    size_t size;
    unsigned nodes;
};

static struct chunk *chunk_add(struct ap_config *config, size_t size)
{
    struct chunk *c = malloc(sizeof *c + size);

    if (c == NULL) return NULL;
    c->used = 0;
    c->size = size;
    c->next = config->chunks;
    config->chunks = c;
    return c;
}

void *ap_config_alloc(struct ap_config *config, size_t size)
{
    struct chunk *c = config->chunks;
    void *ret;

    if (size > SIZE_MAX / 2) return NULL;
    size = (size + 15) & ~(size_t)15;
    if (c == NULL || c->size - c->used < size) {
        c = chunk_add(config, size > CHUNK ? size : CHUNK);
        if (c == NULL) return NULL;
    }
    ret = c->bytes + c->used;
    c->used += size;
    return memset(ret, 0, size);
}

static char *copy_text(struct ap_config *config, const void *text, size_t length)
{
    char *ret = ap_config_alloc(config, length + 1);
    if (ret != NULL) memcpy(ret, text, length);
    return ret;
}

/* A node that exists only to say where. */
static int config_refuse(const struct reader *r, size_t line, const char *what)
{
    const struct ap_node at = {.file = r->file, .line = (unsigned)line};
    return ap_node_refuse(&at, r->error, "%s", what);
}

static bool indented_by_tab(const struct reader *r, size_t line)
{
    const char *at = r->text, *end = r->text + r->size;

    for (size_t i = 1; i < line && at < end; i++) {
        at = memchr(at, '\n', (size_t)(end - at));
        if (at == NULL) return false;
        at++;
    }
    while (at < end && *at == ' ')
        at++;
    return at < end && *at == '\t';
}

/* The reader's errors (bytes that are no text) come with an offset, all others with a mark. */
static int refuse_syntax(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    size_t line = p->problem_mark.line + 1;
    char what[160];

    if (p->error == YAML_MEMORY_ERROR) return APIARY_ENOBLOCK;
    if (p->error == YAML_READER_ERROR) {
        size_t end = p->problem_offset < r->size ? p->problem_offset : r->size;
        line = 1;
        for (size_t i = 0; i < end; i++)
            line += r->text[i] == '\n';
        ap_format(what, sizeof what, "not a text file: %s; a configuration is YAML in UTF-8",
                 p->problem != NULL ? p->problem : "bytes that are no UTF-8");
    } else if (indented_by_tab(r, line)) {
        ap_format(what, sizeof what, "a tab in the indentation; use spaces");
    } else {
        ap_format(what, sizeof what, "not valid YAML: %s%s%s (column %zu)", p->context != NULL ? p->context : "",
                 p->context != NULL ? ", " : "", p->problem != NULL ? p->problem : "syntax error",
                 p->problem_mark.column + 1);
    }
    return config_refuse(r, line, what);
}

static int next_event(struct reader *r, yaml_event_t *event)
{
    if (!yaml_parser_parse(&r->parser, event)) return refuse_syntax(r);
    return 0;
}

struct children {
    struct ap_node **items;
    const char **keys;
    unsigned *lines;
    size_t count, capacity;
};

static int children_grow(struct reader *r, struct children *c)
{
    size_t capacity = c->capacity > 0 ? c->capacity * 2 : 8;
    struct ap_node **items;
    const char **keys;
    unsigned *lines;

    if (c->count < c->capacity) return 0;
    items = ap_config_alloc(r->config, capacity * sizeof *items);
    keys = ap_config_alloc(r->config, capacity * sizeof *keys);
    lines = ap_config_alloc(r->config, capacity * sizeof *lines);
    if (items == NULL || keys == NULL || lines == NULL) return APIARY_ENOBLOCK;
    if (c->count > 0) {
        memcpy(items, c->items, c->count * sizeof *items);
        memcpy(keys, c->keys, c->count * sizeof *keys);
        memcpy(lines, c->lines, c->count * sizeof *lines);
    }
    *c = (struct children){.items = items, .keys = keys, .lines = lines, .count = c->count, .capacity = capacity};
    return 0;
}

static int read_node(struct reader *r, yaml_event_t *event, unsigned depth, struct ap_node **ret);

static int add_item(struct reader *r, struct children *c, const char *key, unsigned line, yaml_event_t *value,
                    unsigned depth)
{
    int e = children_grow(r, c);

    if (e < 0) {
        yaml_event_delete(value);
        return e;
    }
    e = read_node(r, value, depth, &c->items[c->count]);
    if (e < 0) return e;
    c->keys[c->count] = key;
    c->lines[c->count] = line;
    c->count++;
    return 0;
}

static int config_read_list(struct reader *r, struct ap_node *node, unsigned depth)
{
    struct children c = {0};

    for (;;) {
        yaml_event_t event;
        int e = next_event(r, &event);
        if (e < 0) return e;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            break;
        }
        e = add_item(r, &c, NULL, 0, &event, depth + 1);
        if (e < 0) return e;
    }
    node->items = c.items;
    node->count = c.count;
    return 0;
}

/* Anchors, tags and control characters that only an escape can bring in. */
static int refuse_decoration(const struct reader *r, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;

    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return config_refuse(r, event->start_mark.line + 1, "an alias (*) is not supported; write the value out");
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        if (memchr(event->data.scalar.value, 0, event->data.scalar.length) != NULL)
            return config_refuse(r, event->start_mark.line + 1, "a text holds a NUL character; leave it out");
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    default:
        break;
    }
    if (anchor != NULL)
        return config_refuse(r, event->start_mark.line + 1, "an anchor (&) is not supported; write the value out");
    if (tag != NULL)
        return config_refuse(r, event->start_mark.line + 1, "a tag (!) is not supported; quote the text if '!' belongs to it");
    return 0;
}

static int config_read_key(struct reader *r, const yaml_event_t *event, const struct children *c, const char **ret)
{
    size_t line = event->start_mark.line + 1;
    const struct ap_node at = {.file = r->file, .line = (unsigned)line};
    char *key;
    int e = refuse_decoration(r, event);

    if (e < 0) return e;
    if (event->type != YAML_SCALAR_EVENT) return config_refuse(r, line, "a key is a list or a mapping; a key is one word");
    if (event->data.scalar.length == 0) return config_refuse(r, line, "a key is empty; a key is one word");
    if (c->count >= KEYS_MAX) return config_refuse(r, line, "a mapping has more than 256 keys; at most 256 are allowed");
    key = copy_text(r->config, event->data.scalar.value, event->data.scalar.length);
    if (key == NULL) return APIARY_ENOBLOCK;
    for (size_t i = 0; i < c->count; i++) {
        if (strcmp(c->keys[i], key) != 0) continue;
        return ap_node_refuse(&at, r->error, "%s: duplicate key, first given in line %u; each key is given once",
                              AP_SHOWN(key, 64), c->lines[i]);
    }
    *ret = key;
    return 0;
}

static int read_map(struct reader *r, struct ap_node *node, unsigned depth)
{
    struct children c = {0};

    for (;;) {
        yaml_event_t event;
        const char *key = NULL;
        unsigned line;
        int e = next_event(r, &event);
        if (e < 0) return e;
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            break;
        }
        line = (unsigned)event.start_mark.line + 1;
        e = config_read_key(r, &event, &c, &key);
        yaml_event_delete(&event);
        if (e == 0) e = next_event(r, &event);
        if (e == 0) e = add_item(r, &c, key, line, &event, depth + 1);
        if (e < 0) return e;
    }
    node->items = c.items;
    node->keys = c.keys;
    node->key_lines = c.lines;
    node->count = c.count;
    return 0;
}

static int config_read_text(struct reader *r, const yaml_event_t *event, struct ap_node *node)
{
    node->text = copy_text(r->config, event->data.scalar.value, event->data.scalar.length);
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return node->text != NULL ? 0 : APIARY_ENOBLOCK;
}

/* Takes the event over. Recursion is bounded by DEPTH_MAX. */
static int read_node(struct reader *r, yaml_event_t *event, unsigned depth, struct ap_node **ret)
{
    size_t line = event->start_mark.line + 1;
    yaml_event_type_t type = event->type;
    struct ap_node *node = NULL;
    int e = refuse_decoration(r, event);

    if (e == 0 && depth > DEPTH_MAX) e = config_refuse(r, line, "nested too deeply; at most 16 levels are allowed");
    if (e == 0 && ++r->nodes > NODES_MAX) e = config_refuse(r, line, "too many values; at most 65536 are allowed");
    if (e == 0) {
        node = ap_config_alloc(r->config, sizeof *node);
        if (node == NULL) e = APIARY_ENOBLOCK;
    }
    if (e == 0) {
        node->file = r->file;
        node->line = (unsigned)line;
        node->kind = type == YAML_SCALAR_EVENT           ? AP_NODE_TEXT
                     : type == YAML_SEQUENCE_START_EVENT ? AP_NODE_LIST
                                                         : AP_NODE_MAP;
        if (type == YAML_SCALAR_EVENT) e = config_read_text(r, event, node);
    }
    yaml_event_delete(event);
    if (e == 0 && type == YAML_SEQUENCE_START_EVENT) e = config_read_list(r, node, depth);
    if (e == 0 && type == YAML_MAPPING_START_EVENT) e = read_map(r, node, depth);
    if (e == 0) *ret = node;
    return e;
}

static int read_stream(struct reader *r, struct ap_node **ret)
{
    struct ap_node *root = NULL;

    for (;;) {
        yaml_event_t event;
        yaml_event_type_t type;
        size_t line;
        int e = next_event(r, &event);
        if (e < 0) return e;
        type = event.type;
        line = event.start_mark.line + 1;
        if (type == YAML_SCALAR_EVENT || type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT ||
            type == YAML_ALIAS_EVENT) {
            e = read_node(r, &event, 1, &root);
            if (e < 0) return e;
            continue;
        }
        yaml_event_delete(&event);
        if (type == YAML_STREAM_END_EVENT) break;
        if (type == YAML_DOCUMENT_START_EVENT && root != NULL)
            return config_refuse(r, line, "a second document begins (---); a text holds one");
    }
    if (root == NULL) return config_refuse(r, 1, "the text is empty; expected a mapping of keys");
    *ret = root;
    return 0;
}

int ap_config_parse(const char *name, const char *text, size_t size, struct ap_config **ret,
                    struct ap_config_error *error)
{
    struct reader r = {.error = error, .text = text, .size = size};
    struct ap_node *root = NULL;
    int e;

    r.config = calloc(1, sizeof *r.config);
    if (r.config == NULL) return APIARY_ENOBLOCK;
    r.config->file = r.file = copy_text(r.config, name, strlen(name));
    if (r.file == NULL || !yaml_parser_initialize(&r.parser)) {
        ap_config_free(r.config);
        return APIARY_ENOBLOCK;
    }
    if (size > TEXT_MAX) {
        e = config_refuse(&r, 1, "the text is larger than 1 MiB, which is the most allowed");
    } else {
        yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, size);
        e = read_stream(&r, &root);
    }
    yaml_parser_delete(&r.parser);
    if (e < 0) {
        if (error != NULL && e == APIARY_ENOBLOCK) snprintf(error->text, sizeof error->text, "no memory");
        ap_config_free(r.config);
        return e;
    }
    r.config->root = root;
    *ret = r.config;
    return 0;
}

/* At most one byte more than allowed, so that ap_config_parse can tell. */
static int config_read_file(int fd, char *text, size_t *ret)
{
    size_t size = 0;

    while (size <= TEXT_MAX) {
        ssize_t n = read(fd, text + size, TEXT_MAX + 1 - size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) break;
        size += (size_t)n;
    }
    *ret = size;
    return 0;
}

/* Of an errno: is it the path that is wrong, or is this machine short of something for the moment? */
static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == EIO;
}

int ap_config_read(int fd, const char *name, char **ret, size_t *ret_size, struct ap_config_error *error)
{
    const struct ap_node at = {.file = name};
    char *text = malloc(TEXT_MAX + 1);
    int e;

    if (text == NULL) return APIARY_ENOBLOCK;
    e = config_read_file(fd, text, ret_size);
    if (e < 0) {
        free(text);
        errno = -e;
        return ap_node_refuse(&at, error, "cannot be read: %m; give the path of a configuration file");
    }
    *ret = text;
    return 0;
}

int ap_config_open(const char *path, struct ap_config_error *error)
{
    const struct ap_node at = {.file = path};
    int fd = ap_fd_open(path, O_RDONLY, 0);

    if (fd >= 0) return fd;
    if (!is_shortage(errno)) return ap_node_refuse(&at, error, "cannot be opened: %m; give the path of a configuration file");
    ap_node_refuse(&at, error, "cannot be opened: %m; try again when the machine is less busy, or raise its limits");
    return APIARY_ESYS;
}

int ap_config_load(const char *path, struct ap_config **ret, struct ap_config_error *error)
{
    char *text = NULL;
    size_t size = 0;
    int e, fd = ap_config_open(path, error);

    if (fd < 0) return fd;
    e = ap_config_read(fd, path, &text, &size, error);
    close(fd);
    if (e == 0) e = ap_config_parse(path, text, size, ret, error);
    free(text);
    return e;
}

void ap_config_free(struct ap_config *config)
{
    if (config == NULL) return;
    while (config->chunks != NULL) {
        struct chunk *c = config->chunks;
        config->chunks = c->next;
        free(c);
    }
    free(config);
}

/* Absolute, so that a later chdir changes nothing. */
static int find_folder(struct ap_config *config, struct ap_config_error *error)
{
    const struct ap_node at = {.file = config->file};
    char *copy = strdup(config->file);
    char *absolute = copy != NULL ? realpath(dirname(copy), NULL) : NULL;
    int e = copy != NULL ? errno : ENOMEM;

    free(copy);
    if (absolute == NULL && e != ENOMEM) {
        errno = e;
        return ap_node_refuse(&at, error, "its folder, where relative paths begin, cannot be found: %m");
    }
    if (absolute != NULL) config->folder = copy_text(config, absolute, strlen(absolute));
    free(absolute);
    return config->folder != NULL ? 0 : APIARY_ENOBLOCK;
}

int ap_config_path(struct ap_config *config, const char *path, const char **ret, struct ap_config_error *error)
{
    const char *folder;
    size_t size;
    char *whole;
    int e;

    if (path[0] == '/') {
        *ret = path;
        return 0;
    }
    e = config->folder == NULL ? find_folder(config, error) : 0;
    if (e < 0) return e;
    folder = strcmp(config->folder, "/") != 0 ? config->folder : "";
    size = strlen(folder) + strlen(path) + 2;
    whole = ap_config_alloc(config, size);
    if (whole == NULL) return APIARY_ENOBLOCK;
    snprintf(whole, size, "%s/%s", folder, path);
    *ret = whole;
    return 0;
}

const struct ap_node *ap_config_root(const struct ap_config *config)
{
    return config->root;
}
