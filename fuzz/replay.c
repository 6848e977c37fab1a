
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


/*
 * Feeds files to a fuzz target that is built without libFuzzer, so that the
 * ordinary test run replays its corpus:
 *
 *     cc fuzz/replay.c fuzz/fuzz_route.c ... -o replay_route
 *     ./replay_route fuzz/corpus/route
 *
 * Each argument is a file or a directory, whose files are fed; directories in
 * it are not entered.  Prints TAP, one line for each argument; an argument
 * without files fails.  A target that finds a fault aborts, the comment
 * before it names the file.
 */


#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>


#define REPLAY_MAX_SIZE  (16 * 1024 * 1024)


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static long replay(const char *name);
static long replay_directory(const char *name);
static long replay_file(const char *name, size_t size);


int
main(int argc, char **argv)
{
    int   i, failed;
    long  n;

    failed = 0;

    for (i = 1; i < argc; i++) {
        n = replay(argv[i]);

        if (n <= 0) {
            failed = 1;
        }

        printf("%sok %d - %s: %ld inputs\n", n > 0 ? "" : "not ", i, argv[i],
               n > 0 ? n : 0);
    }

    printf("1..%d\n", argc - 1);

    return (failed || argc < 2) ? 1 : 0;
}


/* Returns how many files were fed, -1 if one could not be read. */

static long
replay(const char *name)
{
    struct stat  st;

    if (stat(name, &st) != 0) {
        printf("# cannot read %s\n", name);
        return -1;
    }

    if (S_ISDIR(st.st_mode)) {
        return replay_directory(name);
    }

    if (!S_ISREG(st.st_mode)) {
        return 0;
    }

    return replay_file(name, (size_t) st.st_size);
}


static long
replay_directory(const char *name)
{
    DIR            *dir;
    long            n, rc;
    char            path[4096];
    struct stat     st;
    struct dirent  *entry;

    dir = opendir(name);

    if (dir == NULL) {
        printf("# cannot open %s\n", name);
        return -1;
    }

    n = 0;

    while ((entry = readdir(dir)) != NULL) {

        if (snprintf(path, sizeof(path), "%s/%s", name, entry->d_name)
            >= (int) sizeof(path)
            || stat(path, &st) != 0)
        {
            printf("# cannot read %s/%s\n", name, entry->d_name);
            n = -1;
            break;
        }

        if (!S_ISREG(st.st_mode)) {
            continue;
        }

        rc = replay_file(path, (size_t) st.st_size);

        if (rc < 0) {
            n = -1;
            break;
        }

        n += rc;
    }

    closedir(dir);

    return n;
}


static long
replay_file(const char *name, size_t size)
{
    FILE     *file;
    size_t    n;
    uint8_t  *data;

    /* if the target aborts, this is the last line */

    printf("# %s\n", name);
    fflush(stdout);

    if (size > REPLAY_MAX_SIZE) {
        printf("# too large\n");
        return -1;
    }

    file = fopen(name, "rb");

    if (file == NULL) {
        printf("# cannot open\n");
        return -1;
    }

    /* a block of exactly this size, as libFuzzer gives it */

    data = malloc(size ? size : 1);

    if (data == NULL) {
        abort();
    }

    n = fread(data, 1, size, file);
    fclose(file);

    if (n == size) {
        LLVMFuzzerTestOneInput(data, size);

    } else {
        printf("# cannot read\n");
    }

    free(data);

    return (n == size) ? 1 : -1;
}
