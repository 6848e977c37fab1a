
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


/*
 * Visits every state that can be reached, those that take fewer steps first.
 *
 *     lease SETTING [RULE [INVARIANT]]
 *
 * Prints how many states and steps there are and returns 0; or the shortest
 * way to a state in which an invariant does not hold, and returns 1.  With a
 * RULE, that one is broken; with an INVARIANT, 1 to 7, the others may break.
 * Without an argument it prints the settings and rules.
 */

#define STATES  (5u << 20)      /* at most */
#define TABLE   (1u << 24)      /* a power of two */
#define ALL     0xfe            /* invariants */

_Static_assert(sizeof(state_t) % sizeof(uint64_t) == 0, "of whole words");


static void begin(state_t *s);
static int explore(unsigned mask);
static void meet(const state_t *next, const char *fmt, unsigned a, unsigned b,
    unsigned c);
static uint32_t hash(const state_t *s);
static void show_way(uint32_t last);
static void show_step(const state_t *next, const char *fmt, unsigned a,
    unsigned b, unsigned c);
static void show_state(const state_t *s);
static int find(const char *name);
static int usage(void);


static const setting_t  settings[] = {

    /* name, gateways, workers, of which they are, starts, limit, allow,
       losses, crashes, polls, expiries, lists */

    { "crowd",     2, 2, { 0, 1, 0 }, 3, 1, 0, 0, 0, 1, 1, 0 },
    { "pairs",     2, 2, { 0, 1, 0 }, 3, 2, 0, 0, 0, 2, 0, 0 },
    { "lost",      2, 2, { 0, 1, 0 }, 2, 1, 0, 1, 0, 1, 0, 0 },
    { "slow",      2, 2, { 0, 1, 0 }, 2, 1, 0, 1, 0, 0, 1, 0 },
    { "workers",   2, 3, { 0, 0, 1 }, 2, 1, 0, 1, 0, 0, 0, 0 },
    { "twins",     1, 2, { 0, 0, 0 }, 2, 1, 0, 1, 0, 0, 0, 0 },
    { "both",      2, 2, { 0, 1, 0 }, 2, 2, 0, 1, 0, 0, 0, 0 },
    { "room",      1, 1, { 0, 0, 0 }, 2, 2, 0, 1, 0, 0, 0, 0 },
    { "twice",     1, 2, { 0, 0, 0 }, 1, 1, 0, 2, 0, 0, 0, 0 },
    { "polled",    1, 2, { 0, 0, 0 }, 1, 1, 0, 1, 0, 2, 1, 0 },
    { "killed",    2, 2, { 0, 1, 0 }, 2, 1, 0, 1, 1, 0, 0, 0 },
    { "restarts",  2, 2, { 0, 1, 0 }, 2, 1, 0, 0, 1, 1, 1, 0 },
    { "allow",     2, 2, { 0, 1, 0 }, 2, 1, 1, 1, 0, 1, 0, 0 },
    { "asked",     2, 2, { 0, 1, 0 }, 3, 2, 0, 0, 0, 0, 0, 1 },
    { "listed",    2, 2, { 0, 1, 0 }, 2, 2, 0, 0, 0, 1, 1, 1 },
    { "sought",    2, 2, { 0, 1, 0 }, 2, 2, 0, 1, 0, 0, 0, 1 },
    { "orphans",   2, 2, { 0, 1, 0 }, 2, 2, 0, 0, 1, 1, 0, 1 },
    { "late",      1, 1, { 0, 0, 0 }, 3, 2, 0, 0, 0, 0, 1, 1 },
    { "strays",    2, 2, { 0, 1, 0 }, 2, 2, 1, 1, 0, 0, 0, 1 },
    { "aged",      1, 1, { 0, 0, 0 }, 2, 2, 0, 0, 1, 1, 1, 1 },
    { NULL,        0, 0, { 0, 0, 0 }, 0, 0, 0, 0, 0, 0, 0, 0 }
};


static const char  *rules[RULES] = {
    "limit", "tombstone", "stays-ended", "one-slot", "expiry", "give-back",
    "abandon", "not-released", "own-abandoned", "tell-again", "doubt", "told",
    "each-lease", "end-told", "unleased", "kept-end", "not-known", "marked",
    "admitted", "over"
};


const setting_t  *setting;

static int        rule = -1;
static state_t   *states;
static uint32_t  *parents;
static uint32_t  *table;        /* numbers of states, from 1; 0 is none */
static uint32_t   nstates;
static uint32_t   parent;
static uint64_t   nsteps;
static state_t    wanted;       /* the next state of the way that is shown */
static int        shown;


int
broken(rule_t r)
{
    return (int) r == rule;
}


int
main(int argc, char **argv)
{
    int       n;
    unsigned  mask;

    n = (argc > 1 && argc < 5) ? find(argv[1]) : -1;

    if (n == -1) {
        return usage();
    }

    setting = &settings[n];
    mask = ALL;

    if (argc > 2) {

        for (rule = RULES - 1; rule >= 0; rule--) {

            if (strcmp(rules[rule], argv[2]) == 0) {
                break;
            }
        }

        if (rule == -1) {
            return usage();
        }
    }

    if (argc > 3) {

        if (strlen(argv[3]) != 1 || argv[3][0] < '1' || argv[3][0] > '7') {
            return usage();
        }

        mask = BIT(argv[3][0] - '0');
    }

    return explore(mask);
}


static void
begin(state_t *s)
{
    unsigned  w;

    memset(s, 0, sizeof(state_t));

    for (w = 0; w < setting->nworkers; w++) {
        s->worker[w].up = 1;
    }

    s->losses = (uint8_t) setting->losses;
    s->crashes = (uint8_t) setting->crashes;
    s->polls = (uint8_t) setting->polls;
    s->expiries = (uint8_t) setting->expiries;
}


static int
explore(unsigned mask)
{
    unsigned  which;
    state_t   state;

    /* zeroed memory that is not touched is not used */

    states = calloc(STATES, sizeof(state_t));
    parents = calloc(STATES, sizeof(uint32_t));
    table = calloc(TABLE, sizeof(uint32_t));

    if (states == NULL || parents == NULL || table == NULL) {
        fputs("no memory\n", stderr);
        return 2;
    }

    begin(&state);
    meet(&state, NULL, 0, 0, 0);

    for (parent = 0; parent < nstates; parent++) {
        which = invariant(&states[parent], mask);

        if (which) {
            printf("%s: I%u does not hold:\n", setting->name, which);
            state = states[parent];
            show_way(parent);
            show_state(&state);
            return 1;
        }

        steps(&states[parent], meet);

        if (nstates == STATES) {
            printf("%s: more than %u states\n", setting->name, STATES);
            return 2;
        }
    }

    printf("%s: %u states, %llu steps\n", setting->name, nstates,
           (unsigned long long) nsteps);

    return 0;
}


/* Notes the state, unless it is known already. */

static void
meet(const state_t *next, const char *fmt, unsigned a, unsigned b, unsigned c)
{
    uint32_t  at;

    (void) fmt;
    (void) a;
    (void) b;
    (void) c;

    nsteps++;

    at = hash(next) & (TABLE - 1);

    while (table[at]) {

        if (memcmp(&states[table[at] - 1], next, sizeof(state_t)) == 0) {
            return;
        }

        at = (at + 1) & (TABLE - 1);
    }

    if (nstates == STATES) {
        return;
    }

    states[nstates] = *next;
    parents[nstates] = parent;
    table[at] = ++nstates;
}


static uint32_t
hash(const state_t *s)
{
    size_t                i;
    uint64_t              h, word;
    const unsigned char  *p;

    h = 0;
    p = (const unsigned char *) s;

    for (i = 0; i < sizeof(state_t); i += sizeof(word)) {
        memcpy(&word, p + i, sizeof(word));

        h = (h ^ word) * 0x9e3779b97f4a7c15;
        h ^= h >> 29;
    }

    return (uint32_t) (h >> 16);
}


static void
show_way(uint32_t last)
{
    uint32_t  n, from;

    /* parents are before their children: the way is turned round first */

    for (n = last, from = last; n; n = parent) {
        parent = parents[n];
        parents[n] = from;
        from = n;
    }

    for (n = 0; n != last; /* void */ ) {
        wanted = states[from];
        shown = 0;

        steps(&states[n], show_step);

        n = from;
        from = parents[n];
    }
}


static void
show_step(const state_t *next, const char *fmt, unsigned a, unsigned b,
    unsigned c)
{
    if (!shown && memcmp(next, &wanted, sizeof(state_t)) == 0) {
        shown = 1;

        printf("    ");
        printf(fmt, a, b, c);
        printf("\n");
    }
}


static void
show_state(const state_t *s)
{
    unsigned  i, g;

    printf("held 0x%x, ended 0x%x, gone 0x%x, expired 0x%x\n", s->held,
           s->ended, s->gone, s->expired);

    for (i = 0; i < setting->starts; i++) {
        printf("start %u: phase %u, lease %u, outcome %u; run %u: %u\n", i,
               s->start[i].phase, s->start[i].lease, s->start[i].outcome, i,
               s->run[i].truth);
    }

    for (g = 0; g < setting->gateways; g++) {
        printf("zone %u:", g);

        for (i = 0; i < IDS; i++) {
            printf(" %02x", s->zone[g][i]);
        }

        printf("\n");
    }
}


static int
find(const char *name)
{
    int  i;

    for (i = 0; settings[i].name; i++) {

        if (strcmp(settings[i].name, name) == 0) {
            return i;
        }
    }

    return -1;
}


static int
usage(void)
{
    int  i;

    printf("lease SETTING [RULE [INVARIANT]]\nsettings:");

    for (i = 0; settings[i].name; i++) {
        printf(" %s", settings[i].name);
    }

    printf("\nrules:");

    for (i = 0; i < RULES; i++) {
        printf(" %s", rules[i]);
    }

    printf("\n");

    return 2;
}
