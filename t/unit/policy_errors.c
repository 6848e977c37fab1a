
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "test.h"
#include "policy.h"

#include "phrony_policy.h"


typedef struct {
    const char  *text;
    size_t       line;
    const char  *error;
} vector_t;


/* A workspace, a trigger or a key with something wrong. */

#define BAD_W(record)       DOC(record, "", "")
#define BAD_T(record)       DOC(WS1 "," WS2, record, "")
#define BAD_K(record)       DOC(WS1 "," WS2, TR1 "," TR2, record)

#define T1_WITH(member)     BAD_T(TR(T1, A1, W1, "," member))
#define K1_WITH(member)     BAD_K(KEY(K1, S1, W1, "," member))
#define K1_SCOPE(scope)     K1_WITH("\"scopes\":[" scope "]")

#define IN_W                "workspace 1 (\"" W1 "\"): "
#define IN_T                "trigger 1 (\"" T1 "\"): "
#define IN_K                "key 1 (\"" K1 "\"): "

#define NOT_DATE            IN_K "member \"expiresAt\" is not an RFC 3339 "   \
                            "date and time"
#define NOT_HASH            IN_K "member \"sha256\" is not 64 hexadecimal "   \
                            "digits"
#define NOT_COUNT(name)     IN_T "member \"" name "\" is not a non-negative " \
                            "integer"
#define NOT_CIDR(text)      IN_T "member \"ipWhitelist\": entry 1 (\"" text   \
                            "\") is not an address or a CIDR block"

#define HEX63               "0123456789abcdef0123456789abcdef"                \
                            "0123456789abcdef0123456789abcde"
#define LETTERS             "abcdefghijklmnopqrstuvwxyz"                      \
                            "abcdefghijklmnopqrstuvwxyz"


static void test_vectors(const char *name, const vector_t *vectors, size_t n);
static void test_truncated(void);
static void test_bytes(void);
static void test_reversed(void);
static void test_late(void);
static phrony_policy_t *parse(const char *text, size_t len,
    phrony_policy_error_t *error);


static const vector_t  file_vectors[] = {
    { "", 1, "a JSON object is expected" },
    { " \n\n", 3, "a JSON object is expected" },
    { "\n[]", 2, "a JSON object is expected" },
    { "null", 1, "a JSON object is expected" },
    { "\xef\xbb\xbf" DOC("", "", ""), 1,
      "a byte order mark at the start is not allowed in JSON" },
    { "\xff\xfe{", 1, "a JSON object is expected" },
    { "{}", 1, "member \"workspaces\" is missing" },
    { "{\"triggers\":[],\n\"keys\":[]}\n", 3,
      "member \"workspaces\" is missing" },
    { "{\"workspaces\":[],\"keys\":[]}", 1,
      "member \"triggers\" is missing" },
    { "{\"workspaces\":[],\"triggers\":[]}", 1,
      "member \"keys\" is missing" },
    { "{\"Keys\":[],\"workspaces\":[],\"triggers\":[]}", 1,
      "member \"keys\" is missing" },
    { "{\"workspaces\":{}}", 1, "member \"workspaces\" is not an array" },
    { "{\"triggers\":\nnull}", 2, "member \"triggers\" is not an array" },
    { "{\"keys\":", 1, "member \"keys\" is not an array" },
    { "{\"keys\":[],\n\"keys\":[]}", 2, "member \"keys\" is repeated" },
    { "{\"keys\":[],\"\\u006beys\":[]}", 1, "member \"keys\" is repeated" },
    { "{\"x\":1,\"x\":2}", 1, "member \"x\" is repeated" },
    { "{\"a\\n\\u00e9\":1,\"a\\n\\u00e9\":2}", 1,
      "member \"a\\x0a\\xc3\\xa9\" is repeated" },
    { DOC("", "", "") "{}", 7, "nothing may follow the object" },
    { DOC("", "", "") "\n\n,", 9, "nothing may follow the object" },
    { DOC("", "", "") "\v", 7, "nothing may follow the object" },
    { "{\"x\":1", 1, "\",\" or \"}\" is expected" },
    { "{\"x\":1\n\"y\":2}", 2, "\",\" or \"}\" is expected" },
    { "{\"x\":1]", 1, "\",\" or \"}\" is expected" },
    { "{", 1, "a member's name is expected" },
    { "{,", 1, "a member's name is expected" },
    { "{\"x\":1,}", 1, "a member's name is expected" },
    { "{x:1}", 1, "a member's name is expected" },
    { "{\"x\"", 1, "\":\" is expected" },
    { "{\"x\"\n\n=1}", 3, "\":\" is expected" },
    { "{\"x", 1, "a member's name is not valid JSON: premature end of input "
      "near '\"x'" },
    { "{\"x\\u0000\":1}", 1, "a member's name is not valid JSON: \\u0000 is "
      "not allowed without JSON_ALLOW_NUL near '\"x\\u0000\"'" },
    { "{\"x\":}", 1,
      "a value is not valid JSON: unexpected token near '}'" },
    { "{\"x\":\n{\"y\":\n\nz}}", 4,
      "a value is not valid JSON: invalid token near 'z'" },
    { "{\"x\":{\"y\":1,\"y\":2}}", 1,
      "a value is not valid JSON: duplicate object key near '\"y\"'" },
    { "{\"x\":99999999999999999999}", 1, "a value is not valid JSON: too big "
      "integer near '99999999999999999999'" },
    { "{\"x\":nul\xff}", 1,
      "a value is not valid JSON: unable to decode byte 0xff near 'nul'" },
    { "{\"x\":\"\x01\"}", 1,
      "a value is not valid JSON: control character 0x1 near '\"'" }
};


static const vector_t  array_vectors[] = {
    { BAD_W("null"), 2, "workspace 1 is not an object" },
    { BAD_T("\n[]"), 5, "trigger 1 is not an object" },
    { BAD_K(KEY1 ",\n\"" K2 "\""), 7, "key 2 is not an object" },
    { BAD_K(KEY1 ","), 6, "key 2 is not an object" },
    { BAD_K(","), 6, "key 1 is not an object" },
    { BAD_W(WS1 WS2), 2, "\",\" or \"]\" is expected after workspace 1" },
    { BAD_K(KEY1 "\n}"), 7, "\",\" or \"]\" is expected after key 1" },
    { "{\"workspaces\":[" WS1, 1,
      "\",\" or \"]\" is expected after workspace 1" },
    { "{\"workspaces\":[" WS1 ",", 1, "workspace 2 is not an object" },
    { "{\"workspaces\":[", 1, "workspace 1 is not an object" },
    { BAD_K("{\"id\":\n\n1,}"), 8, "key 1 is not valid JSON: string or '}' "
      "expected near '}'" },
    { BAD_K(KEY1 ",\n" KEY(K2, S2, W1, "\n,\"x\" \n1")), 9,
      "key 2 is not valid JSON: ':' expected near '1'" },
    { BAD_K("{\n\"id\":\"" K1 "\",\n\"id\":\"" K1 "\"}"), 8,
      "key 1 is not valid JSON: duplicate object key near '\"id\"'" },
    { BAD_K("{\"x\":{\"y\":1,\"y\":1}}"), 6,
      "key 1 is not valid JSON: duplicate object key near '\"y\"'" },
    { BAD_T("{\"id\":\"\xc3\x28\"}"), 4, "trigger 1 is not valid JSON: unable "
      "to decode byte 0xc3 near '\"'" },
    { BAD_T("{\"\xc3\xa9\" 1}"), 4,
      "trigger 1 is not valid JSON: ':' expected near '1'" },
    { BAD_T("{\xc3\xa9}"), 4, "trigger 1 is not valid JSON: string or '}' "
      "expected near '\\xc3\\xa9'" }
};


static const vector_t  workspace_vectors[] = {
    { BAD_W("{}"), 2, "workspace 1: member \"id\" is missing" },
    { BAD_W("{\"id\":7}"), 2, "workspace 1: member \"id\" is not a UUID" },
    { BAD_W(WS("x", "")), 2,
      "workspace 1 (\"x\"): member \"id\" is not a UUID" },
    { BAD_W(WS(W1 " ", "")), 2,
      "workspace 1 (\"" W1 " \"): member \"id\" is not a UUID" },
    { BAD_W(WS("a\\n\\u0000\\u007f\\u00e9b", "")), 2, "workspace 1 "
      "(\"a\\x0a\\x00\\x7f\\xc3\\xa9b\"): member \"id\" is not a UUID" },
    { BAD_W(WS(LETTERS LETTERS, "")), 2, "workspace 1 (\"" LETTERS "abcde"
      "...\"): member \"id\" is not a UUID" },
    { BAD_W(WS(W1, ",\"status\":\"revoked\"")), 2,
      IN_W "member \"status\" is not \"active\" or \"suspended\"" },
    { BAD_W(WS(W1, ",\"status\":\"Active\"")), 2,
      IN_W "member \"status\" is not \"active\" or \"suspended\"" },
    { BAD_W(WS(W1, ",\"status\":\"active\\u0000\"")), 2,
      IN_W "member \"status\" is not \"active\" or \"suspended\"" },
    { BAD_W(WS(W1, ",\"status\":\"\"")), 2,
      IN_W "member \"status\" is not \"active\" or \"suspended\"" },
    { BAD_W(WS(W1, ",\"status\":null")), 2,
      IN_W "member \"status\" is not \"active\" or \"suspended\"" },
    { BAD_W(WS1 ",\n" WS2 ",\n\n" WS1), 5, "workspace 3 (\"" W1 "\"): member "
      "\"id\" is that of workspace 1" }
};


static const vector_t  trigger_vectors[] = {
    { BAD_T("{}"), 4, "trigger 1: member \"id\" is missing" },
    { BAD_T("{\"id\":\"" T1 "\"}"), 4,
      IN_T "member \"agentId\" is missing" },
    { BAD_T("{\"id\":\"" T1 "\",\"agentId\":\"" A1 "\"}"), 4,
      IN_T "member \"workspaceId\" is missing" },
    { BAD_T(TR("", A1, W1, "")), 4,
      "trigger 1 (\"\"): member \"id\" is not a UUID" },
    { BAD_T(TR(T1, "", W1, "")), 4, IN_T "member \"agentId\" is not a UUID" },
    { BAD_T(TR(T1, A1, "", "")), 4,
      IN_T "member \"workspaceId\" is not a UUID" },
    { BAD_T(TR(T1, A1, NO, "")), 4,
      IN_T "member \"workspaceId\" names no workspace" },
    { BAD_T(TR1 ",\n" TR(T1, A2, W1, "")), 5,
      "trigger 2 (\"" T1 "\"): member \"id\" is that of trigger 1" },
    { BAD_T(TR1 ",\n" TR(T2, A1, W2, "")), 5,
      "trigger 2 (\"" T2 "\"): member \"agentId\" is that of trigger 1" },
    { T1_WITH("\"active\":null"), 4,
      IN_T "member \"active\" is not true or false" },
    { T1_WITH("\"active\":1"), 4,
      IN_T "member \"active\" is not true or false" },
    { T1_WITH("\"active\":\"true\""), 4,
      IN_T "member \"active\" is not true or false" },
    { T1_WITH("\"rpmLimit\":-1"), 4, NOT_COUNT("rpmLimit") },
    { T1_WITH("\"rpmLimit\":60.0"), 4, NOT_COUNT("rpmLimit") },
    { T1_WITH("\"rpmLimit\":6e1"), 4, NOT_COUNT("rpmLimit") },
    { T1_WITH("\"rpmLimit\":\"60\""), 4, NOT_COUNT("rpmLimit") },
    { T1_WITH("\"rpmLimit\":false"), 4, NOT_COUNT("rpmLimit") },
    { T1_WITH("\"rpdLimit\":[]"), 4, NOT_COUNT("rpdLimit") },
    { T1_WITH("\"maxConcurrentRuns\":-5"), 4,
      NOT_COUNT("maxConcurrentRuns") },
    { T1_WITH("\"maxInputTokens\":0.5"), 4, NOT_COUNT("maxInputTokens") },
    { T1_WITH("\"readRpmLimit\":{}"), 4, NOT_COUNT("readRpmLimit") },
    { T1_WITH("\"rpmLimit\":1000000000000000"), 4,
      IN_T "member \"rpmLimit\" is larger than 999999999999999" },
    { T1_WITH("\"rpdLimit\":9223372036854775807"), 4,
      IN_T "member \"rpdLimit\" is larger than 999999999999999" },
    { T1_WITH("\"rpdLimit\":9223372036854775808"), 4, "trigger 1 is not valid "
      "JSON: too big integer near '9223372036854775808'" },
    { T1_WITH("\"ipWhitelist\":\"10.0.0.0/8\""), 4,
      IN_T "member \"ipWhitelist\" is not an array" },
    { T1_WITH("\"ipWhitelist\":false"), 4,
      IN_T "member \"ipWhitelist\" is not an array" },
    { T1_WITH("\"ipWhitelist\":[\"10.0.0.0/8\",7]"), 4,
      IN_T "member \"ipWhitelist\": entry 2 is not a string" },
    { T1_WITH("\"ipWhitelist\":[null]"), 4,
      IN_T "member \"ipWhitelist\": entry 1 is not a string" },
    { T1_WITH("\"ipWhitelist\":[\"\"]"), 4, NOT_CIDR("") },
    { T1_WITH("\"ipWhitelist\":[\"10.0.0.1/8\"]"), 4,
      NOT_CIDR("10.0.0.1/8") },
    { T1_WITH("\"ipWhitelist\":[\"10.0.0.0/33\"]"), 4,
      NOT_CIDR("10.0.0.0/33") },
    { T1_WITH("\"ipWhitelist\":[\"::1\\u0000\"]"), 4, NOT_CIDR("::1\\x00") },
    { T1_WITH("\"ipWhitelist\":[\"" LETTERS LETTERS "\"]"), 4,
      NOT_CIDR(LETTERS "abcde...") }
};


static const vector_t  key_vectors[] = {
    { BAD_K("{}"), 6, "key 1: member \"id\" is missing" },
    { BAD_K("{\"id\":\"" K1 "\"}"), 6, IN_K "member \"sha256\" is missing" },
    { BAD_K("{\"id\":\"" K1 "\",\"sha256\":\"" S1 "\"}"), 6,
      IN_K "member \"workspaceId\" is missing" },
    { BAD_K(KEY("K", S1, W1, "")), 6,
      "key 1 (\"K\"): member \"id\" is not a UUID" },
    { BAD_K(KEY(K1, HEX63, W1, "")), 6, NOT_HASH },
    { BAD_K(KEY(K1, S1 "0", W1, "")), 6, NOT_HASH },
    { BAD_K(KEY(K1, HEX63 "g", W1, "")), 6, NOT_HASH },
    { BAD_K(KEY(K1, "g" HEX63, W1, "")), 6, NOT_HASH },
    { BAD_K(KEY(K1, "", W1, "")), 6, NOT_HASH },
    { BAD_K(KEY(K1, HEX63 ":", W1, "")), 6, NOT_HASH },
    { BAD_K(KEY(K1, HEX63 "\\u0000", W1, "")), 6, NOT_HASH },
    { BAD_K("{\"id\":\"" K1 "\",\"sha256\":null}"), 6, NOT_HASH },
    { BAD_K(KEY(K1, S1, "w", "")), 6,
      IN_K "member \"workspaceId\" is not a UUID" },
    { BAD_K(KEY(K1, S1, NO, "")), 6,
      IN_K "member \"workspaceId\" names no workspace" },
    { BAD_K(KEY1 ",\n" KEY(K1, S2, W1, "")), 7,
      "key 2 (\"" K1 "\"): member \"id\" is that of key 1" },
    { BAD_K(KEY(K1, S2, W1, "") ",\n"
            KEY(K2, "1123456789abcdef0123456789abcdef"
                    "0123456789abcdef0123456789abcdef", W2, "")), 7,
      "key 2 (\"" K2 "\"): member \"sha256\" is that of key 1" },
    { K1_WITH("\"status\":\"suspended\""), 6,
      IN_K "member \"status\" is not \"active\" or \"revoked\"" },
    { K1_WITH("\"status\":true"), 6,
      IN_K "member \"status\" is not \"active\" or \"revoked\"" },
    { K1_WITH("\"expiresAt\":\"2031-02-29T00:00:00Z\""), 6, NOT_DATE },
    { K1_WITH("\"expiresAt\":\"2031-05-04\""), 6, NOT_DATE },
    { K1_WITH("\"expiresAt\":\"\""), 6, NOT_DATE },
    { K1_WITH("\"expiresAt\":1935669600"), 6, NOT_DATE },
    { K1_WITH("\"expiresAt\":false"), 6, NOT_DATE },
    { K1_WITH("\"allowFileUploads\":null"), 6,
      IN_K "member \"allowFileUploads\" is not true or false" },
    { K1_WITH("\"allowFileUploads\":0"), 6,
      IN_K "member \"allowFileUploads\" is not true or false" },
    { K1_WITH("\"scopes\":null"), 6,
      IN_K "member \"scopes\" is not an array" },
    { K1_WITH("\"scopes\":{}"), 6,
      IN_K "member \"scopes\" is not an array" },
    { K1_SCOPE("7"), 6, IN_K "scope 1: it is not an object" },
    { K1_SCOPE("{}"), 6, IN_K "scope 1: member \"triggerId\" is missing" },
    { K1_SCOPE("{\"triggerId\":null}"), 6,
      IN_K "scope 1: member \"triggerId\" is not a UUID" },
    { K1_SCOPE(SCOPE(A1, T1) ",\n" SCOPE(A2, NO)), 6,
      IN_K "scope 2: member \"triggerId\" names no trigger" },
    { K1_SCOPE(SCOPE("", T1)), 6,
      IN_K "scope 1: member \"agentId\" is not a UUID" },
    { K1_SCOPE("{\"triggerId\":\"" T1 "\",\"agentId\":null}"), 6,
      IN_K "scope 1: member \"agentId\" is not a UUID" },
    { K1_SCOPE(SCOPE(A1, T1) "," SCOPE(A1, T2)), 6,
      IN_K "scope 2: member \"agentId\" is not the agent of trigger 2" },
    { K1_SCOPE(SCOPE(T1, A1)), 6,
      IN_K "scope 1: member \"triggerId\" names no trigger" },
    { BAD_K(KEY(K2, S2, W1, ",\"scopes\":[" SCOPE(A1, T1) "]") ",\n"
            KEY(K1, S1, NO, "")), 7,
      "key 2 (\"" K1 "\"): member \"workspaceId\" names no workspace" },
    { BAD_K(KEY(K1, S1, W2, ",\"scopes\":[" SCOPE(A2, T2) "]")), 6,
      IN_K "scope 1: member \"triggerId\" names trigger 2, of another "
      "workspace than the key's" }
};


#define TEST(name)                                                            \
    test_vectors(#name, name ## _vectors,                                     \
                 sizeof(name ## _vectors) / sizeof(name ## _vectors[0]))


int
main(void)
{
    TEST(file);
    TEST(array);
    TEST(workspace);
    TEST(trigger);
    TEST(key);

    test_truncated();
    test_bytes();
    test_reversed();
    test_late();

    return done();
}


static void
test_vectors(const char *name, const vector_t *vectors, size_t n)
{
    size_t                  i;
    char                    title[64];
    const char             *text;
    phrony_policy_t        *policy;
    phrony_policy_error_t   error;

    for (i = 0; i < n; i++) {
        text = vectors[i].text;
        policy = parse(text, strlen(text), &error);

        snprintf(title, sizeof(title), "%s %zu", name, i + 1);

        if (!ok(policy == NULL, "%s is refused", title)) {
            phrony_policy_free(policy);
            continue;
        }

        if (!is_str(error.text, strlen(error.text), vectors[i].error, title)
            || !is_int(error.line, vectors[i].line, title))
        {
            printf("#   text: %s\n", show(text, strlen(text)));
        }
    }
}


/* A policy that is cut anywhere is refused. */

static void
test_truncated(void)
{
    size_t                  len, refused;
    phrony_policy_t        *policy;
    phrony_policy_error_t   error;
    static const char       text[] = DOC(WS1, TR1, KEY(K1, S1, W1,
                                         ",\"scopes\":[" SCOPE(A1, T1) "]"));

    refused = 0;

    for (len = 0; len < sizeof(text) - 2; len++) {
        policy = parse(text, len, &error);
        refused += (policy == NULL && error.line > 0 && error.line < 8);
        phrony_policy_free(policy);
    }

    is_int(refused, sizeof(text) - 2, "cut anywhere");
}


/* What is quoted is printable, whatever the file holds. */

static void
test_bytes(void)
{
    int                     byte, printable;
    char                    text[64], *p;
    phrony_policy_t        *policy;
    phrony_policy_error_t   error;

    for (byte = 0; byte < 256; byte++) {
        snprintf(text, sizeof(text), "{\"workspaces\":[{\"id\":\"a_b\"}]}");
        *strchr(text, '_') = (char) byte;

        policy = parse(text, sizeof("{\"workspaces\":[{\"id\":\"a_b\"}]}") - 1,
                       &error);
        printable = 1;

        for (p = error.text; *p; p++) {
            printable = printable && *p >= 0x20 && *p <= 0x7e;
        }

        ok(policy == NULL && printable && error.text[0], "byte %d", byte);
        phrony_policy_free(policy);
    }
}


/* Mistakes in arrays that are read twice have their lines, too. */

static void
test_reversed(void)
{
    size_t                  i;
    phrony_policy_t        *policy;
    phrony_policy_error_t   error;
    static const vector_t   vectors[] = {
        { "{\"keys\":[\n" KEY1 ",\n" KEY(K2, S2, NO, "") "],\n"
          "\"workspaces\":[" WS1 "],\"triggers\":[]}", 3,
          "key 2 (\"" K2 "\"): member \"workspaceId\" names no workspace" },
        { "{\"triggers\":[\n\n" TR(T1, A1, NO, "") "],\"keys\":[\n" KEY1 "],\n"
          "\"workspaces\":[" WS1 "]}", 3,
          IN_T "member \"workspaceId\" names no workspace" },
        { "{\"keys\":[\n" KEY1 ",\n{\"id\"}],\n"
          "\"workspaces\":[" WS1 "],\"triggers\":[]}", 3,
          "key 2 is not valid JSON: ':' expected near '}'" },
        { "{\"keys\":[\n" KEY1 "],\n\"triggers\":[]}", 3,
          "member \"workspaces\" is missing" },
    };

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        policy = parse(vectors[i].text, strlen(vectors[i].text), &error);

        ok(policy == NULL, "reversed %zu", i + 1);
        is_str(error.text, strlen(error.text), vectors[i].error, "text");
        is_int(error.line, vectors[i].line, "line");

        phrony_policy_free(policy);
    }
}


/* The 1000th record is as well named as the first. */

static void
test_late(void)
{
    int                     i, len, size;
    char                   *text;
    phrony_policy_t        *policy;
    phrony_policy_error_t   error;

    size = 200 * 1001;
    text = malloc((size_t) size);

    if (text == NULL) {
        abort();
    }

    len = snprintf(text, (size_t) size, "{\"workspaces\":[" WS1 "],\n"
                   "\"triggers\":[],\n\"keys\":[\n");

    for (i = 1; i <= 1000; i++) {
        len += snprintf(text + len, (size_t) (size - len),
                        "%s{\"id\":\"40000000-0000-4000-8000-%012d\",\n"
                        "\"sha256\":\"%064d\",\"workspaceId\":\"" W1 "\"}",
                        (i > 1) ? ",\n" : "", i, i % 999);
    }

    len += snprintf(text + len, (size_t) (size - len), "]}");

    policy = parse(text, (size_t) len, &error);

    ok(policy == NULL, "the 1000th key has the first one's hash");
    is_str(error.text, strlen(error.text), "key 1000 "
           "(\"40000000-0000-4000-8000-000000001000\"): member \"sha256\" is "
           "that of key 1", "text");
    is_int(error.line, 3 + 2 * 999 + 1, "line");

    phrony_policy_free(policy);
    free(text);
}


static phrony_policy_t *
parse(const char *text, size_t len, phrony_policy_error_t *error)
{
    char             *copy;
    phrony_policy_t  *policy;

    /* of the exact size */

    copy = malloc(len + (len == 0));

    if (copy == NULL) {
        abort();
    }

    memset(error, 'x', sizeof(phrony_policy_error_t));
    memcpy(copy, text, len);
    policy = phrony_policy_parse(copy, len, error);
    free(copy);

    return policy;
}
