/* tests/unit/test_kinds_storage.c - records, files and backups: what is kept, what is refused, what damage is noticed. */
#include <fcntl.h>
#include <jansson.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/fake_agent.h"

static char folder[64];
static struct apiary_agent *files, *backup;
static struct fake_key config[4];

static void open_storage(int64_t max_file, int64_t quota)
{
    strcpy(folder, "/tmp/apiary-test-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    config[0] = (struct fake_key){"directory", folder, 0, NULL};
    config[1] = (struct fake_key){"max_file", NULL, max_file, NULL};
    config[2] = (struct fake_key){NULL, NULL, 0, NULL};
    fake_open();
    cr_assert_eq(fake_create("storage_backup", config, &backup), 0, "%s", backup->log);
    config[2] = (struct fake_key){"quota", NULL, quota, NULL};
    cr_assert_eq(fake_create("storage_files", config, &files), 0, "%s", files->log);
}

static void done(void)
{
    char command[128];
    fake_destroy(files);
    fake_destroy(backup);
    fake_close();
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    cr_assert_eq(system(command), 0);
}

static char *inside(const char *path)
{
    static char full[256];
    snprintf(full, sizeof full, "%s/%s", folder, path);
    return full;
}

static void overwrite(const char *path, const char *text)
{
    int fd = open(inside(path), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

#define ONE "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b" /* of "1" */

Test(storage, records_are_kept)
{
    open_storage(1 << 20, 1 << 20);
    fake_expect(files, "data_persistence", "{\"op\":\"get\",\"key\":\"a\"}", "{\"found\":false}");
    fake_expect(files, "data_persistence", "{\"op\":\"put\",\"key\":\"a\",\"value\":1}",
                "{\"stored\":true,\"sha256\":\"" ONE "\"}");
    fake_expect(files, "data_persistence", "{\"op\":\"put\",\"key\":\"b/c\",\"value\":{\"x\":[null]}}",
                "{\"stored\":true,\"sha256\":\"7d51f7ed3d3487cf384505cf80c09ff40c1cab63fb28bd37bd5bf0ded9f4f4fa\"}");
    done();
}

Test(storage, records_outlive_the_agent)
{
    open_storage(1 << 20, 1 << 20);
    free(fake_call(files, "data_persistence", "{\"op\":\"put\",\"key\":\"a\",\"value\":1}"));
    free(fake_call(files, "data_persistence", "{\"op\":\"put\",\"key\":\"b/c\",\"value\":\"two\"}"));
    fake_destroy(files);
    cr_assert_eq(fake_create("storage_files", config, &files), 0);
    fake_expect(files, "data_persistence", "{\"op\":\"get\",\"key\":\"a\"}",
                "{\"found\":true,\"value\":1,\"sha256\":\"" ONE "\"}");
    fake_expect(files, "data_persistence", "{\"op\":\"list\"}", "{\"keys\":[\"a\",\"b/c\"],\"more\":false}");
    fake_expect(files, "data_persistence", "{\"op\":\"delete\",\"key\":\"a\"}", "{\"deleted\":true}");
    fake_expect(files, "data_persistence", "{\"op\":\"delete\",\"key\":\"a\"}", "{\"deleted\":false}");
    fake_expect(files, "data_persistence", "{\"op\":\"list\"}", "{\"keys\":[\"b/c\"],\"more\":false}");
    done();
}

Test(storage, damage_is_noticed)
{
    open_storage(1 << 20, 1 << 20);
    free(fake_call(files, "data_persistence", "{\"op\":\"put\",\"key\":\"a\",\"value\":1}"));
    free(fake_call(files, "data_persistence", "{\"op\":\"put\",\"key\":\"b\",\"value\":2}"));
    fake_expect(files, "data_consistency", "{}", "{\"checked\":2,\"damaged\":[],\"consistent\":true}");
    overwrite("records/a", ONE "\n3");
    fake_expect(files, "data_consistency", "{}", "{\"checked\":2,\"damaged\":[\"a\"],\"consistent\":false}");
    fake_expect_failure(files, "data_persistence", "{\"op\":\"get\",\"key\":\"a\"}", 500, "damaged");
    overwrite("records/a", "short");
    fake_expect_failure(files, "data_persistence", "{\"op\":\"get\",\"key\":\"a\"}", 500, "damaged");
    fake_expect(files, "data_persistence", "{\"op\":\"get\",\"key\":\"b\"}",
                "{\"found\":true,\"value\":2,\"sha256\":"
                "\"d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35\"}");
    done();
}

/* Records are written, damaged and deleted while it is at it: each is looked at as it is then. */
Test(storage, a_long_check_comes_in_slices)
{
    char *request = malloc(800000);
    open_storage(1 << 20, 1 << 24);
    for (int i = 0; i < 6; i++) {
        sprintf(request, "{\"op\":\"put\",\"key\":\"k%d\",\"value\":\"%0*d\"}", i, 700000, i);
        free(fake_call(files, "data_persistence", request));
    }
    struct apiary_job *job = fake_submit(files, "data_consistency", "{}", 2);
    fake_turn();
    cr_assert(!job->finished);
    fake_expect(files, "data_persistence", "{\"op\":\"delete\",\"key\":\"k5\"}", "{\"deleted\":true}");
    overwrite("records/k4", "damaged");
    fake_finish(job);
    cr_expect_str_eq(job->data, "{\"checked\":5,\"damaged\":[\"k4\"],\"consistent\":false}");
    fake_free(job);
    job = fake_submit(files, "data_consistency", "{}", 2);
    fake_turn();
    job->cancelled = true;
    fake_finish(job);
    cr_expect_eq(job->code, 499, "%s", job->data);
    fake_free(job);
    free(request);
    done();
}

Test(storage, files_are_managed)
{
    open_storage(1 << 20, 1 << 20);
    fake_expect(files, "file_management", "{\"op\":\"write\",\"path\":\"comb/cell.txt\",\"text\":\"honey\"}",
                "{\"bytes\":5}");
    fake_expect(files, "file_management", "{\"op\":\"read\",\"path\":\"comb/cell.txt\"}",
                "{\"text\":\"honey\",\"bytes\":5}");
    fake_expect_part(files, "file_management", "{\"op\":\"stat\",\"path\":\"comb/cell.txt\"}",
                     "{\"type\":\"file\",\"bytes\":5,");
    fake_expect_part(files, "file_management", "{\"op\":\"stat\",\"path\":\"comb\"}", "{\"type\":\"folder\"");
    fake_expect(files, "file_management", "{\"op\":\"rename\",\"path\":\"comb/cell.txt\",\"to\":\"b.txt\"}",
                "{\"renamed\":true}");
    fake_expect(files, "file_management", "{\"op\":\"write\",\"path\":\"c.txt\",\"text\":\"\"}", "{\"bytes\":0}");
    fake_expect(files, "file_management", "{\"op\":\"list\"}", "{\"files\":[\"b.txt\",\"c.txt\"],\"more\":false}");
    fake_expect_failure(files, "file_management", "{\"op\":\"rename\",\"path\":\"c.txt\",\"to\":\"b.txt\"}", 409,
                        "there already");
    fake_expect(files, "file_management", "{\"op\":\"delete\",\"path\":\"b.txt\"}", "{\"deleted\":true}");
    fake_expect_failure(files, "file_management", "{\"op\":\"read\",\"path\":\"b.txt\"}", 404, "No such file");
    fake_expect_failure(files, "file_management", "{\"op\":\"delete\",\"path\":\"b.txt\"}", 404, "No such file");
    fake_expect_failure(files, "file_management", "{\"op\":\"fly\",\"path\":\"b.txt\"}", 400, "write, read");
    fake_expect_failure(files, "file_management", "{\"op\":\"write\",\"path\":\"c.txt/d\",\"text\":\"\"}", 409,
                        "Not a directory");
    overwrite("files/c.txt", "\xff\xfe");
    fake_expect_failure(files, "file_management", "{\"op\":\"read\",\"path\":\"c.txt\"}", 400, "not UTF-8");
    done();
}

Test(storage, nothing_outside_the_folder_can_be_named)
{
    static const char *const paths[] = {"..",   "../x",    "a/../../x", "/etc/passwd",  "a//b",
                                        "",     ".hidden", "a/.hidden", "a/",           "./a",
                                        "a\\b", "a b",     "a\\n",      "1/2/3/4/5/6/7"};
    open_storage(1 << 20, 1 << 20);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char request[128];
        snprintf(request, sizeof request, "{\"op\":\"write\",\"path\":\"%s\",\"text\":\"x\"}", paths[i]);
        fake_expect_failure(files, "file_management", request, 400, "\"path\" is not a name here");
        snprintf(request, sizeof request, "{\"op\":\"put\",\"key\":\"%s\",\"value\":1}", paths[i]);
        fake_expect_failure(files, "data_persistence", request, 400, "\"key\" is not a name here");
    }
    fake_expect(files, "file_management", "{\"op\":\"list\"}", "{\"files\":[],\"more\":false}");
    done();
}

Test(storage, symbolic_links_are_not_followed)
{
    char secret[] = "/tmp/apiary-test-secret-XXXXXX", text[8] = "";
    int fd = mkstemp(secret);
    cr_assert_eq(write(fd, "secret", 6), 6);
    open_storage(1 << 20, 1 << 20);
    free(fake_call(files, "file_management", "{\"op\":\"write\",\"path\":\"a\",\"text\":\"x\"}"));
    cr_assert_eq(symlink(secret, inside("files/link")), 0);
    cr_assert_eq(symlink("/tmp", inside("files/tmp")), 0);
    fake_expect_failure(files, "file_management", "{\"op\":\"read\",\"path\":\"link\"}", 400,
                        "Too many levels of symbolic links");
    fake_expect_failure(files, "file_management", "{\"op\":\"read\",\"path\":\"tmp/x\"}", 404, "Not a directory");
    fake_expect_failure(files, "file_management", "{\"op\":\"write\",\"path\":\"tmp/x\",\"text\":\"y\"}", 409,
                        "Not a directory");
    fake_expect(files, "file_management", "{\"op\":\"list\"}", "{\"files\":[\"a\"],\"more\":false}");
    /* A write takes the link's place; what it pointed to stays. */
    fake_expect(files, "file_management", "{\"op\":\"write\",\"path\":\"link\",\"text\":\"mine\"}", "{\"bytes\":4}");
    cr_assert_eq(pread(fd, text, sizeof text, 0), 6);
    cr_assert_eq(strcmp(text, "secret"), 0);
    close(fd);
    unlink(secret);
    done();
}

Test(storage, fifos_do_not_block)
{
    open_storage(1 << 20, 1 << 20);
    free(fake_call(files, "file_management", "{\"op\":\"write\",\"path\":\"a\",\"text\":\"x\"}"));
    cr_assert_eq(mkfifo(inside("files/pipe"), 0600), 0);
    fake_expect_failure(files, "file_management", "{\"op\":\"read\",\"path\":\"pipe\"}", 400, "Invalid");
    done();
}

Test(storage, sizes_are_bounded)
{
    open_storage(10, 25 + 3 * 256); /* each file counts as 256 bytes more */
    fake_expect_failure(files, "file_management", "{\"op\":\"write\",\"path\":\"a\",\"text\":\"12345678901\"}", 413,
                        "max_file");
    free(fake_call(files, "file_management", "{\"op\":\"write\",\"path\":\"a\",\"text\":\"1234567890\"}"));
    free(fake_call(files, "file_management", "{\"op\":\"write\",\"path\":\"b\",\"text\":\"1234567890\"}"));
    fake_expect_failure(files, "file_management", "{\"op\":\"write\",\"path\":\"c\",\"text\":\"1234567890\"}", 507,
                        "quota");
    free(fake_call(files, "file_management",
                   "{\"op\":\"write\",\"path\":\"a\",\"text\":\"12345\"}")); /* replaced: 15 are used */
    free(fake_call(files, "file_management", "{\"op\":\"write\",\"path\":\"c\",\"text\":\"1234567890\"}"));
    free(fake_call(files, "file_management", "{\"op\":\"delete\",\"path\":\"b\"}"));
    free(fake_call(files, "file_management", "{\"op\":\"write\",\"path\":\"d\",\"text\":\"1234567890\"}"));
    fake_destroy(files);
    cr_assert_eq(fake_create("storage_files", config, &files), 0); /* counts what is there */
    fake_expect_failure(files, "file_management", "{\"op\":\"write\",\"path\":\"e\",\"text\":\"1\"}", 507, "quota");
    overwrite("files/large", "12345678901");
    fake_expect_failure(files, "file_management", "{\"op\":\"read\",\"path\":\"large\"}", 413, "File too large");
    done();
}

Test(storage, no_unfinished_file_is_left_or_seen)
{
    open_storage(1 << 20, 1 << 20);
    free(fake_call(files, "file_management", "{\"op\":\"write\",\"path\":\"d/x\",\"text\":\"x\"}"));
    char command[256];
    snprintf(command, sizeof command, "mv '%s/files/d/x' '%s/files/d/.unfinished-1'", folder, folder);
    cr_assert_eq(system(command), 0);
    fake_expect(files, "file_management", "{\"op\":\"list\"}", "{\"files\":[],\"more\":false}");
    cr_assert_eq(mkdir(inside("files/folder"), 0700), 0);
    fake_expect_failure(files, "file_management", "{\"op\":\"write\",\"path\":\"folder\",\"text\":\"x\"}", 409,
                        "it is a folder");
    snprintf(command, sizeof command, "test -z \"$(ls -A '%s/files' | grep unfinished)\"", folder);
    cr_assert_eq(system(command), 0, "a failed write has left its unfinished file");
    done();
}

Test(storage, backups_restore)
{
    open_storage(1 << 20, 1 << 20);
    free(fake_call(files, "data_persistence", "{\"op\":\"put\",\"key\":\"a\",\"value\":1}"));
    free(fake_call(files, "file_management", "{\"op\":\"write\",\"path\":\"d/e\",\"text\":\"deep\"}"));
    fake_expect(backup, "backup", "{\"op\":\"list\"}", "{\"backups\":[],\"unfinished\":[]}");
    char *made = fake_call(backup, "backup", "{\"op\":\"create\",\"name\":\"monday\"}");
    cr_assert_eq(strncmp(made, "{\"name\":\"monday\",\"files\":2,\"bytes\":70,\"sha256\":\"", 47), 0, "%s", made);
    fake_expect_failure(backup, "backup", "{\"op\":\"create\",\"name\":\"monday\"}", 409, "there already");
    fake_expect(backup, "backup", "{\"op\":\"list\"}", "{\"backups\":[\"monday\"],\"unfinished\":[]}");
    fake_expect_part(backup, "backup", "{\"op\":\"verify\",\"name\":\"monday\"}", "\"intact\":true");
    overwrite("records/a", "damaged");
    free(fake_call(files, "file_management", "{\"op\":\"delete\",\"path\":\"d/e\"}"));
    free(fake_call(files, "file_management", "{\"op\":\"write\",\"path\":\"later\",\"text\":\"stays\"}"));
    fake_expect(backup, "backup", "{\"op\":\"restore\",\"name\":\"monday\"}", made);
    fake_expect_part(files, "data_persistence", "{\"op\":\"get\",\"key\":\"a\"}", "\"value\":1");
    fake_expect_part(files, "file_management", "{\"op\":\"read\",\"path\":\"d/e\"}", "\"deep\"");
    fake_expect_part(files, "file_management", "{\"op\":\"read\",\"path\":\"later\"}", "\"stays\"");
    fake_expect(backup, "backup", "{\"op\":\"delete\",\"name\":\"monday\"}", "{\"deleted\":2}");
    fake_expect(backup, "backup", "{\"op\":\"list\"}", "{\"backups\":[],\"unfinished\":[]}");
    fake_expect_failure(backup, "backup", "{\"op\":\"verify\",\"name\":\"monday\"}", 404, "no backup");
    free(made);
    done();
}

Test(storage, a_damaged_backup_is_not_restored)
{
    open_storage(1 << 20, 1 << 20);
    free(fake_call(files, "file_management", "{\"op\":\"write\",\"path\":\"a\",\"text\":\"good\"}"));
    free(fake_call(backup, "backup", "{\"op\":\"create\",\"name\":\"b\"}"));
    overwrite("backups/b/files/a", "evil");
    fake_expect_part(backup, "backup", "{\"op\":\"verify\",\"name\":\"b\"}", "\"intact\":false");
    fake_expect_failure(backup, "backup", "{\"op\":\"restore\",\"name\":\"b\"}", 409, "nothing is restored");
    fake_expect_part(files, "file_management", "{\"op\":\"read\",\"path\":\"a\"}", "\"good\"");
    overwrite("backups/b/manifest", "rubbish");
    fake_expect_failure(backup, "backup", "{\"op\":\"restore\",\"name\":\"b\"}", 500, "Bad message");
    fake_expect_failure(backup, "backup", "{\"op\":\"verify\",\"name\":\"../records\"}", 400, "\"name\" is not a name");
    fake_expect_failure(backup, "backup", "{\"op\":\"fly\",\"name\":\"b\"}", 400, "create, verify");
    done();
}

static void refused_with(int error, const char *kind, const char *directory, const char *why)
{
    const struct fake_key one[] = {{"directory", directory, 0, NULL}, {NULL, NULL, 0, NULL}};
    struct apiary_agent *agent;
    cr_assert_eq(fake_create(kind, one, &agent), error);
    cr_assert_not_null(strstr(agent->log, why), "%s", agent->log);
    fake_destroy(agent);
}

static void refused(const char *kind, const char *directory, const char *why)
{
    refused_with(APIARY_ECONFIG, kind, directory, why);
}

Test(storage, create_refuses_a_folder_that_is_not_safe)
{
    open_storage(1 << 20, 1 << 20);
    cr_assert_eq(mkdir(inside("open"), 0700), 0);
    cr_assert_eq(chmod(inside("open"), 0777), 0);
    cr_assert_eq(symlink(folder, inside("link")), 0);
    overwrite("file", "x");
    static const char *const kinds[] = {"storage_files", "storage_backup"};
    for (int i = 0; i < 2; i++) {
        refused(kinds[i], "relative", "not absolute");
        refused(kinds[i], inside("open"), "writable only by that user");
        refused(kinds[i], inside("link"), "cannot be opened");
        refused(kinds[i], inside("file"), "cannot be opened");
        refused(kinds[i], inside("no/such/parent"), "cannot be made");
        /* Too many open files is no mistake of the configuration: the queen is to be started again. */
        struct rlimit limit, none;
        cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        none = (struct rlimit){0, limit.rlim_max};
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
        refused_with(APIARY_ESYS, kinds[i], folder, "Too many open files");
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
    done();
}

Test(storage, files_are_in_the_folder_of_the_service)
{
    struct apiary_agent *agents[3];
    struct stat st;
    char base[] = "/tmp/apiary-test-XXXXXX", path[96], command[64];
    cr_assert_not_null(mkdtemp(base));
    umask(0);
    fake_open();
    cr_assert_eq(fake_create("storage_files", NULL, &agents[0]), APIARY_ESYS);
    cr_expect_str_eq(agents[0]->log, "there is no folder for its files");
    fake_destroy(agents[0]);
    fake.state = base;
    cr_assert_eq(fake_create("storage_files", NULL, &agents[0]), 0, "%s", agents[0]->log);
    cr_assert_eq(fake_create("storage_files", NULL, &agents[1]), 0, "%s", agents[1]->log);
    cr_assert_eq(fake_create("storage_backup", NULL, &agents[2]), 0, "%s", agents[2]->log);
    snprintf(path, sizeof path, "%s/test_service", base);
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_mode & 07777, 0700);
    free(fake_call(agents[0], "file_management", "{\"op\":\"write\",\"path\":\"a\",\"text\":\"x\"}"));
    fake_expect(agents[1], "file_management", "{\"op\":\"read\",\"path\":\"a\"}", "{\"text\":\"x\",\"bytes\":1}");
    fake_expect_part(agents[2], "backup", "{\"op\":\"create\",\"name\":\"b\"}", "\"files\":1,");
    for (int i = 0; i < 3; i++) fake_destroy(agents[i]);
    cr_assert_eq(chmod(path, 0770), 0);
    cr_assert_eq(fake_create("storage_files", NULL, &agents[0]), APIARY_ECONFIG);
    cr_expect_not_null(strstr(agents[0]->log, "writable only by that user"), "%s", agents[0]->log);
    fake_destroy(agents[0]);
    fake_close();
    snprintf(command, sizeof command, "rm -rf '%s'", base);
    cr_assert_eq(system(command), 0);
}

static char *digits(char *request, size_t size, const char *path, int count)
{
    snprintf(request, size, "{\"op\":\"write\",\"path\":\"%s\",\"text\":\"%0*d\"}", path, count, 0);
    return request;
}

/* Two instances of a service have one folder: each notices what the other one has written and removed. */
Test(storage, the_quota_is_of_the_folder)
{
    struct apiary_agent *other;
    char request[10240];
    open_storage(10000, 16000 + 3 * 256); /* a part of the quota is 1048 bytes; a file counts as 256 more */
    cr_assert_eq(fake_create("storage_files", config, &other), 0, "%s", other->log);
    free(fake_call(files, "file_management", digits(request, sizeof request, "a", 10000)));
    free(fake_call(other, "file_management", digits(request, sizeof request, "b", 5000)));
    fake_expect_failure(other, "file_management", digits(request, sizeof request, "c", 1001), 507, "quota of 16768 bytes");
    fake_expect_failure(files, "file_management", digits(request, sizeof request, "c", 1001), 507, "quota of 16768 bytes");
    free(fake_call(files, "file_management", "{\"op\":\"delete\",\"path\":\"a\"}"));
    /* It has counted 15512, and looks again before it refuses. */
    free(fake_call(other, "file_management", digits(request, sizeof request, "c", 10000)));
    /* And what the other one has written since counts as soon as a part of the quota is written. */
    free(fake_call(files, "file_management", digits(request, sizeof request, "d", 700)));
    fake_expect_failure(files, "file_management", digits(request, sizeof request, "e", 200), 507, "quota of 16768 bytes");
    free(fake_call(files, "file_management", digits(request, sizeof request, "e", 40)));
    /* A backup is in the folder, too. */
    free(fake_call(files, "file_management", "{\"op\":\"delete\",\"path\":\"c\"}"));
    free(fake_call(backup, "backup", "{\"op\":\"create\",\"name\":\"x\"}"));
    fake_expect_failure(other, "file_management", digits(request, sizeof request, "c", 4100), 507, "quota of 16768 bytes");
    fake_destroy(other);
    done();
}

/* Beyond the quota, by others or by a smaller one: what shrinks is written all the same. An empty file is not free. */
Test(storage, beyond_the_quota_files_may_shrink)
{
    char request[10240];
    open_storage(10000, 1000);
    for (int i = 0; i < 3; i++) {
        snprintf(request, sizeof request, "{\"op\":\"write\",\"path\":\"e%d\",\"text\":\"\"}", i);
        free(fake_call(files, "file_management", request));
    }
    fake_expect_failure(files, "file_management", "{\"op\":\"write\",\"path\":\"e3\",\"text\":\"\"}", 507, "quota");
    for (int i = 0; i < 20; i++) {
        snprintf(request, sizeof request, "files/of%d", i);
        overwrite(request, "of somebody else");
    }
    free(fake_call(files, "file_management", "{\"op\":\"write\",\"path\":\"of1\",\"text\":\"small\"}"));
    fake_expect_failure(files, "file_management", digits(request, sizeof request, "of1", 6), 507, "quota");
    done();
}

Test(storage, a_key_may_begin_another)
{
    open_storage(1 << 20, 1 << 20);
    static const char *const order[2][2] = {{"user/1", "user"}, {"user", "user/1"}};
    for (int i = 0; i < 2; i++) {
        char request[128];
        for (int k = 0; k < 2; k++) {
            snprintf(request, sizeof request, "{\"op\":\"put\",\"key\":\"%s\",\"value\":1}", order[i][k]);
            fake_expect_part(files, "data_persistence", request, "\"stored\":true");
        }
        fake_expect(files, "data_persistence", "{\"op\":\"list\"}", "{\"keys\":[\"user\",\"user/1\"],\"more\":false}");
        for (int k = 0; k < 2; k++) {
            snprintf(request, sizeof request, "{\"op\":\"delete\",\"key\":\"%s\"}", order[i][k]);
            fake_expect(files, "data_persistence", request, "{\"deleted\":true}");
        }
    }
    /* Files are in folders: one of a name at a time, and a folder goes with its last file. */
    fake_expect(files, "file_management", "{\"op\":\"write\",\"path\":\"a/b/c\",\"text\":\"\"}", "{\"bytes\":0}");
    fake_expect_failure(files, "file_management", "{\"op\":\"write\",\"path\":\"a/b\",\"text\":\"\"}", 409, "it is a folder");
    fake_expect(files, "file_management", "{\"op\":\"delete\",\"path\":\"a/b/c\"}", "{\"deleted\":true}");
    fake_expect(files, "file_management", "{\"op\":\"write\",\"path\":\"a\",\"text\":\"\"}", "{\"bytes\":0}");
    fake_expect(files, "file_management", "{\"op\":\"rename\",\"path\":\"a\",\"to\":\"b/c\"}", "{\"renamed\":true}");
    fake_expect(files, "file_management", "{\"op\":\"rename\",\"path\":\"b/c\",\"to\":\"d\"}", "{\"renamed\":true}");
    fake_expect_failure(files, "file_management", "{\"op\":\"rename\",\"path\":\"none\",\"to\":\"e/f\"}", 404, "No such file");
    fake_expect(files, "file_management", "{\"op\":\"write\",\"path\":\"b\",\"text\":\"\"}", "{\"bytes\":0}");
    fake_expect(files, "file_management", "{\"op\":\"write\",\"path\":\"e\",\"text\":\"\"}", "{\"bytes\":0}");
    fake_expect_failure(files, "data_persistence", "{\"op\":\"put\",\"key\":\"a+/b\",\"value\":1}", 400, "not a name here");
    done();
}

/* Records of an older version, also those that a backup of it brings back. */
Test(storage, older_records_are_found)
{
    char command[512];
    open_storage(1 << 20, 1 << 20);
    snprintf(command, sizeof command, "mkdir -p '%s/records/user/x/y' '%s/records/new+'", folder, folder);
    cr_assert_eq(system(command), 0);
    overwrite("records/user/1", ONE "\n1");
    overwrite("records/user/x/y/2", ONE "\n1");
    overwrite("records/new+/3", ONE "\n1");
    fake_destroy(files);
    cr_assert_eq(fake_create("storage_files", config, &files), 0, "%s", files->log);
    fake_expect(files, "data_persistence", "{\"op\":\"list\"}",
                "{\"keys\":[\"new/3\",\"user/1\",\"user/x/y/2\"],\"more\":false}");
    fake_expect_part(files, "data_persistence", "{\"op\":\"get\",\"key\":\"user/x/y/2\"}", "\"value\":1");
    fake_expect(files, "data_consistency", "{}", "{\"checked\":3,\"damaged\":[],\"consistent\":true}");
    done();
}

Test(storage, a_record_that_is_taken_can_be_read)
{
    char request[400] = "{\"op\":\"put\",\"key\":\"k\",\"value\":[1e15";
    open_storage(1 << 20, 1 << 20);
    fake.largest = 400;
    for (int i = 0; i < 20; i++)
        strcat(request, ",1e15");
    strcat(request, "]}");
    fake_expect_failure(files, "data_persistence", request, 413, "no answer could hold it");
    done();
}

Test(storage, lists_come_in_pages)
{
    enum { COUNT = 10500 };
    char request[160], after[64] = "";
    int seen = 0, pages = 0;
    open_storage(1 << 20, 1 << 30);
    free(fake_call(files, "file_management", "{\"op\":\"write\",\"path\":\"f00000\",\"text\":\"\"}"));
    int fd = open(inside("files"), O_RDONLY | O_DIRECTORY);
    for (int i = 1; i < COUNT; i++) { /* as many names of one file: quicker than as many files */
        snprintf(request, sizeof request, "f%05d", i);
        cr_assert_eq(linkat(fd, "f00000", fd, request, 0), 0);
    }
    close(fd);
    free(fake_call(files, "file_management", "{\"op\":\"write\",\"path\":\"f00000-/x\",\"text\":\"\"}"));
    for (bool more = true; more; pages++) {
        snprintf(request, sizeof request, "{\"op\":\"list\"%s%s%s,\"limit\":4000}", after[0] ? ",\"after\":\"" : "", after,
                 after[0] ? "\"" : "");
        char *page = fake_call(files, "file_management", request);
        json_t *list = json_loads(page, 0, NULL), *names = json_object_get(list, "files"), *name;
        size_t i;
        more = json_is_true(json_object_get(list, "more"));
        json_array_foreach(names, i, name)
        {
            const char *text = json_string_value(name);
            if (seen != 1) cr_assert_eq(atoi(text + 1), seen < 1 ? seen : seen - 1, "%s is number %d", text, seen);
            seen++;
            snprintf(after, sizeof after, "%s", text);
        }
        json_decref(list);
        free(page);
    }
    cr_expect_eq(seen, COUNT + 1);
    cr_expect_eq(pages, 3);
    char *all = fake_call(files, "file_management", "{\"op\":\"list\"}");
    cr_expect_not_null(strstr(all, "\"more\":true"));
    free(all);
    done();
}

Test(storage, one_at_a_time_makes_a_backup)
{
    open_storage(1 << 20, 1 << 20);
    free(fake_call(files, "file_management", "{\"op\":\"write\",\"path\":\"a\",\"text\":\"x\"}"));
    /* Another instance is at it, and has come so far. */
    char command[512];
    snprintf(command, sizeof command, "mkdir -p '%s/backups/b.unfinished/files'", folder);
    cr_assert_eq(system(command), 0);
    overwrite("backups/b.unfinished/files/old", "of a file that is no more");
    int fd = open(inside("backups/b.unfinished"), O_RDONLY | O_DIRECTORY);
    cr_assert_eq(flock(fd, LOCK_EX), 0);
    fake_expect_failure(backup, "backup", "{\"op\":\"create\",\"name\":\"b\"}", 409, "is being made or deleted");
    fake_expect_failure(backup, "backup", "{\"op\":\"delete\",\"name\":\"b\"}", 409, "is being made or deleted");
    cr_expect_eq(access(inside("backups/b.unfinished/files/old"), F_OK), 0);
    /* It has died: what it has left is no part of the next one. */
    close(fd);
    fake_expect(backup, "backup", "{\"op\":\"list\"}", "{\"backups\":[],\"unfinished\":[\"b\"]}");
    fake_expect_failure(backup, "backup", "{\"op\":\"verify\",\"name\":\"b\"}", 409, "was never finished");
    fake_expect_failure(backup, "backup", "{\"op\":\"restore\",\"name\":\"b\"}", 409, "was never finished");
    fake_expect_part(backup, "backup", "{\"op\":\"create\",\"name\":\"b\"}", "\"files\":1,\"bytes\":1,");
    cr_expect_neq(access(inside("backups/b.unfinished"), F_OK), 0);
    fake_expect_part(backup, "backup", "{\"op\":\"verify\",\"name\":\"b\"}", "\"intact\":true");
    fake_expect(backup, "backup", "{\"op\":\"delete\",\"name\":\"b\"}", "{\"deleted\":1}");
    fake_expect(backup, "backup", "{\"op\":\"delete\",\"name\":\"b\"}", "{\"deleted\":0}");
    fake_expect(backup, "backup", "{\"op\":\"delete\",\"name\":\"never\"}", "{\"deleted\":0}");
    done();
}

Test(query_optimizer, finds_the_cheapest_order)
{
    struct apiary_agent *agent;
    fake_open();
    cr_assert_eq(fake_create("query_optimizer", NULL, &agent), 0);
    fake_expect(agent, "query_optimization", "{\"tables\":{\"a\":5}}",
                "{\"order\":[\"a\"],\"rows\":5.0,\"cost\":5.0,\"plans_compared\":1}");
    /* b-c first gives 10 + 10 rows before a; any order with a earlier has at least 1000. */
    fake_expect_part(agent, "query_optimization",
                     "{\"tables\":{\"a\":1000,\"b\":100,\"c\":10},\"joins\":[[\"a\",\"b\",0.01],[\"b\",\"c\",0.01]]}",
                     "{\"order\":[\"c\",\"b\",\"a\"],\"rows\":100.0,\"cost\":120.0");
    fake_expect_part(agent, "query_optimization", "{\"tables\":{\"x\":2,\"y\":3}}",
                     "{\"order\":[\"x\",\"y\"],\"rows\":6.0,\"cost\":8.0");
    /* Every order costs 1 + 1 + 1: the first table first, though the last two could be joined in any order, too. */
    fake_expect_part(agent, "query_optimization", "{\"tables\":{\"x\":1,\"y\":1,\"z\":1}}", "{\"order\":[\"x\",\"y\",\"z\"],");
    /* 0.1 * 3 and 0.3 are one cost: the order does not depend on the last bit of a double. */
    fake_expect_part(agent, "query_optimization",
                     "{\"tables\":{\"a\":3,\"b\":0.3,\"c\":3},\"joins\":[[\"a\",\"b\",0.1],[\"c\",\"b\",0.1]]}",
                     "{\"order\":[\"b\",\"a\",\"c\"],");
    fake_expect_failure(agent, "query_optimization", "{\"tables\":{}}", 400, "1 to 12");
    fake_expect_failure(agent, "query_optimization", "{\"tables\":{\"a\":\"x\"}}", 400, "\"tables/a\" is not a number");
    fake_expect_failure(agent, "query_optimization", "{\"tables\":{\"a\":1},\"joins\":[[\"a\",\"z\",1]]}", 400,
                        "join 0");
    fake_expect_failure(agent, "query_optimization", "{\"tables\":{\"a\":1,\"b\":1},\"joins\":[[\"a\",\"b\",2]]}", 400,
                        "\"joins/0/2\" is 2; 0 to 1 is allowed");
    fake_expect_failure(agent, "query_optimization", "{\"tables\":{\"a\":1,\"b\":1},\"joins\":[7]}", 400, "\"joins/0\" is "
                        "not a list");
    fake_destroy(agent);
    fake_close();
}
