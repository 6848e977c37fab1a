
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "ctl_output.h"
#include "ctl_secret.h"


#define CTL_SECRET_BYTES  32


ctl_code_t
ctl_secret_new(ctl_t *ctl, ctl_secret_t *secret)
{
    char           text[64], *p;
    unsigned char  bytes[CTL_SECRET_BYTES];

    if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
        return ctl_fail(ctl, CTL_REFUSED, "no random numbers");
    }

    (void) EVP_EncodeBlock((unsigned char *) text, bytes, sizeof(bytes));

    for (p = text; *p; p++) {
        *p = (*p == '+') ? '-' : (*p == '/') ? '_' : (*p == '=') ? '\0' : *p;
    }

    secret->len = (size_t) snprintf(secret->text, sizeof(secret->text),
                                    "phk_%s", text);

    OPENSSL_cleanse(bytes, sizeof(bytes));
    OPENSSL_cleanse(text, sizeof(text));

    return CTL_OK;
}


ctl_code_t
ctl_secret_uuid(ctl_t *ctl, phrony_uuid_t *id)
{
    if (RAND_bytes(id->bytes, PHRONY_UUID_LEN) != 1) {
        return ctl_fail(ctl, CTL_REFUSED, "no random numbers");
    }

    id->bytes[6] = (unsigned char) ((id->bytes[6] & 0x0f) | 0x40);
    id->bytes[8] = (unsigned char) ((id->bytes[8] & 0x3f) | 0x80);

    return CTL_OK;
}


ctl_code_t
ctl_secret_read(ctl_t *ctl, const char *path, ctl_secret_t *secret)
{
    int      fd;
    ssize_t  n;

    fd = (strcmp(path, "-") == 0) ? STDIN_FILENO : open(path, O_RDONLY);

    if (fd == -1) {
        return ctl_fail(ctl, CTL_USAGE, "%s: %s", path, strerror(errno));
    }

    secret->len = 0;

    do {
        n = read(fd, secret->text + secret->len,
                 sizeof(secret->text) - 1 - secret->len);
        secret->len += (n > 0) ? (size_t) n : 0;
    } while (n > 0 || (n == -1 && errno == EINTR));

    if (fd != STDIN_FILENO) {
        close(fd);
    }

    if (n == -1) {
        return ctl_fail(ctl, CTL_USAGE, "%s: %s", path, strerror(errno));
    }

    secret->len -= (secret->len && secret->text[secret->len - 1] == '\n');
    secret->text[secret->len] = '\0';

    return CTL_OK;
}


ctl_code_t
ctl_secret_write(ctl_t *ctl, const char *path, const ctl_secret_t *secret)
{
    int      fd;
    ssize_t  n;

    fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

    if (fd == -1) {
        return ctl_fail(ctl, CTL_REFUSED, "%s: %s", path, strerror(errno));
    }

    n = write(fd, secret->text, secret->len);

    if (close(fd) == -1 || n != (ssize_t) secret->len) {
        (void) unlink(path);
        return ctl_fail(ctl, CTL_REFUSED, "%s: could not be written", path);
    }

    return CTL_OK;
}


void
ctl_secret_clear(ctl_secret_t *secret)
{
    OPENSSL_cleanse(secret, sizeof(ctl_secret_t));
}


void
ctl_secret_digest(const void *data, size_t len,
    unsigned char digest[PHRONY_KEY_DIGEST_LEN])
{
    unsigned  n;

    n = PHRONY_KEY_DIGEST_LEN;

    (void) EVP_Digest(data, len, digest, &n, EVP_sha256(), NULL);
}


void
ctl_secret_hex(char *hex, const unsigned char digest[PHRONY_KEY_DIGEST_LEN])
{
    size_t  i;

    for (i = 0; i < PHRONY_KEY_DIGEST_LEN; i++) {
        (void) snprintf(hex + i * 2, 3, "%02x", digest[i]);
    }
}
