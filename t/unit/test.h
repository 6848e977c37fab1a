
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef TEST_H_
#define TEST_H_


/*
 * The harness of the unit tests: one program per file, which prints TAP.
 *
 *     #include "test.h"
 *
 *     int
 *     main(void)
 *     {
 *         phrony_str_t  s = str("text");
 *
 *         ok(s.len == 4, "length of %s", "text");
 *         is_int(s.len, 4, "length");
 *         is_str(s.data, s.len, "text", "bytes");
 *
 *         return done();
 *     }
 *
 * The program is linked with -Wl,--wrap=malloc and the like for each function
 * below that begins with __wrap_; without that, allocations of the code under
 * test neither count nor fail.
 * Where no memory must not crash:
 *
 *     for (n = 1; n < 10000; n++) {
 *         fail_at(n);
 *         rc = function_under_test();
 *         seen = allocs();
 *         fail_at(-1);
 *
 *         if (seen < n) {
 *             break;          (it got along with fewer: the end)
 *         }
 *
 *         ok(rc == -1, "allocation %ld fails", n);
 *     }
 *
 * For jansson, which is a shared library and so not wrapped, a test may call
 * json_set_alloc_funcs(test_malloc, test_free).
 */


#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "phrony_str.h"


#define TEST_NAME_LEN  1024

#define TEST_UNUSED    __attribute__((unused))
#define TEST_PRINTF    __attribute__((unused, format(printf, 4, 5)))


/* Passes if "cond" is true; yields 1 or 0.  The name is a printf format. */

#define ok(cond, ...)                                                         \
    test_ok(!!(cond), __FILE__, __LINE__, __VA_ARGS__)

/* Compares two integers of any signed type, or not above INT64_MAX. */

#define is_int(got, want, name)                                               \
    test_is_int((int64_t) (got), (int64_t) (want), __FILE__, __LINE__, name)

/* Compares "got_len" bytes with a C string. */

#define is_str(got, got_len, want, name)                                      \
    test_is_str(show(got, got_len), show(want, strlen(want)), __FILE__,       \
                __LINE__, name)

/* Prints the plan; what main() returns. */

#define done()  test_done()


static int   test_ok(int passed, const char *file, int line,
    const char *fmt, ...) TEST_PRINTF;
static int   test_is_int(int64_t got, int64_t want, const char *file,
    int line, const char *name) TEST_UNUSED;
static int   test_is_str(const char *got, const char *want, const char *file,
    int line, const char *name) TEST_UNUSED;
static int   test_done(void) TEST_UNUSED;

static phrony_str_t   str(const char *text) TEST_UNUSED;
static const char    *show(const void *data, size_t len) TEST_UNUSED;

static uint64_t  random_bits(void) TEST_UNUSED;
static unsigned  random_below(unsigned n) TEST_UNUSED;

static void   fail_at(long n) TEST_UNUSED;
static long   allocs(void) TEST_UNUSED;
static int    test_alloc_fails(void);
static void  *test_malloc(size_t size) TEST_UNUSED;
static void   test_free(void *p) TEST_UNUSED;

/* Weak, so that a program that is linked without --wrap links as well. */

void  *__real_malloc(size_t size) __attribute__((weak));
void  *__real_calloc(size_t n, size_t size) __attribute__((weak));
void  *__real_realloc(void *p, size_t size) __attribute__((weak));
int    __real_posix_memalign(void **p, size_t alignment, size_t size)
    __attribute__((weak));
void  *__real_mmap(void *addr, size_t len, int prot, int flags, int fd,
    off_t offset) __attribute__((weak));
void  *__wrap_malloc(size_t size);
void  *__wrap_calloc(size_t n, size_t size);
void  *__wrap_realloc(void *p, size_t size);
int    __wrap_posix_memalign(void **p, size_t alignment, size_t size);
void  *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd,
    off_t offset);


static int   test_count;
static int   test_failed;
static long  test_allocs;
static long  test_fail_at = -1;

static uint64_t  random_seed = 88172645463325252ULL;


static int
test_ok(int passed, const char *file, int line, const char *fmt, ...)
{
    char     name[TEST_NAME_LEN], *p;
    va_list  args;

    va_start(args, fmt);
    vsnprintf(name, sizeof(name), fmt, args);
    va_end(args);

    /* a "#" would begin a directive, a line feed another line */

    for (p = name; *p; p++) {
        if (*p == '#' || *p == '\n' || *p == '\r') {
            *p = '_';
        }
    }

    test_count++;

    printf("%sok %d - %s\n", passed ? "" : "not ", test_count, name);

    if (!passed) {
        test_failed++;
        printf("#   failed at %s line %d\n", file, line);
    }

    fflush(stdout);

    return passed;
}


static int
test_is_int(int64_t got, int64_t want, const char *file, int line,
    const char *name)
{
    if (test_ok(got == want, file, line, "%s", name)) {
        return 1;
    }

    printf("#   got:      %lld\n", (long long) got);
    printf("#   expected: %lld\n", (long long) want);

    return 0;
}


static int
test_is_str(const char *got, const char *want, const char *file, int line,
    const char *name)
{
    int  passed;

    /* both went through show(), which is one-to-one below its limit */

    passed = strcmp(got, want) == 0;

    if (!test_ok(passed, file, line, "%s", name)) {
        printf("#   got:      %s\n", got);
        printf("#   expected: %s\n", want);
    }

    return passed;
}


static int
test_done(void)
{
    printf("1..%d\n", test_count);

    if (test_failed) {
        printf("# %d of %d failed\n", test_failed, test_count);
    }

    return (test_count == 0 || test_failed) ? 1 : 0;
}


/* A view of a C string. */

static phrony_str_t
str(const char *text)
{
    phrony_str_t  s;

    s.len = strlen(text);
    s.data = (unsigned char *) text;

    return s;
}


/*
 * Bytes made printable, "\x00" for what is not; good until the eighth call
 * from now.
 */

static const char *
show(const void *data, size_t len)
{
    char                 *p, *text;
    size_t                i;
    unsigned char         ch;
    static char          *ring[8];
    static unsigned       next;

    /* not counted: these are allocations of the harness */

    text = __real_malloc ? __real_malloc(len * 4 + 1) : malloc(len * 4 + 1);

    if (text == NULL) {
        abort();
    }

    p = text;

    for (i = 0; i < len; i++) {
        ch = ((const unsigned char *) data)[i];

        if (ch >= 0x20 && ch <= 0x7e && ch != '\\') {
            *p++ = (char) ch;
            continue;
        }

        p += sprintf(p, "\\x%02x", ch);
    }

    *p = '\0';

    free(ring[next % 8]);
    ring[next++ % 8] = text;

    return text;
}


/* The same numbers in every run, unless "random_seed" is set (xorshift64). */

static uint64_t
random_bits(void)
{
    random_seed ^= random_seed << 13;
    random_seed ^= random_seed >> 7;
    random_seed ^= random_seed << 17;

    return random_seed;
}


/* Returns 0 to n - 1. */

static unsigned
random_below(unsigned n)
{
    return (unsigned) (random_bits() % n);
}


/*
 * Lets the n-th allocation from now fail, 1 being the next one, and no other;
 * -1: none.  Begins to count anew.
 */

static void
fail_at(long n)
{
    test_fail_at = n;
    test_allocs = 0;
}


/* How many allocations there were since fail_at(), failed ones included. */

static long
allocs(void)
{
    return test_allocs;
}


static int
test_alloc_fails(void)
{
    return ++test_allocs == test_fail_at;
}


static void *
test_malloc(size_t size)
{
    return __wrap_malloc(size);
}


static void
test_free(void *p)
{
    free(p);
}


void *
__wrap_malloc(size_t size)
{
    if (test_alloc_fails()) {
        return NULL;
    }

    return __real_malloc ? __real_malloc(size) : malloc(size);
}


void *
__wrap_calloc(size_t n, size_t size)
{
    if (test_alloc_fails()) {
        return NULL;
    }

    return __real_calloc ? __real_calloc(n, size) : calloc(n, size);
}


void *
__wrap_realloc(void *p, size_t size)
{
    if (test_alloc_fails()) {
        return NULL;
    }

    return __real_realloc ? __real_realloc(p, size) : realloc(p, size);
}


int
__wrap_posix_memalign(void **p, size_t alignment, size_t size)
{
    if (test_alloc_fails()) {
        return ENOMEM;
    }

    return __real_posix_memalign ? __real_posix_memalign(p, alignment, size)
                                 : posix_memalign(p, alignment, size);
}


void *
__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
    if (test_alloc_fails()) {
        return MAP_FAILED;
    }

    return __real_mmap ? __real_mmap(addr, len, prot, flags, fd, offset)
                       : mmap(addr, len, prot, flags, fd, offset);
}


#endif /* TEST_H_ */
