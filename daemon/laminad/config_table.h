/* Private to config*.c: the table of configuration keys, and how a value of each type is read and written. */
#ifndef LAMINA_LAMINAD_CONFIG_TABLE_H
#define LAMINA_LAMINAD_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "daemon/laminad/config.h"

typedef enum lam_config_type {
    LAM_TYPE_INTEGER,
    LAM_TYPE_WORKERS,  /* an integer, or `auto` */
    LAM_TYPE_DURATION, /* 250ms 5s 10m 1h 2d, as milliseconds */
    LAM_TYPE_SIZE,     /* bytes, or 64K 512M 10G 1T */
    LAM_TYPE_WORD,     /* one of `words`; the field is an enum */
    LAM_TYPE_SWITCH,   /* yes or no */
    LAM_TYPE_PATH,     /* absolute */
    LAM_TYPE_ADDRESS,  /* host:port, [IPv6]:port */
    LAM_TYPE_AE_TITLE, /* PS3.5 6.2 */
    LAM_TYPE_URL,      /* http or https */
    LAM_TYPE_ORIGINS,  /* scheme://host[:port] by blanks, or * */
    LAM_TYPE_TEXT,     /* printable ASCII */
    LAM_TYPE_MODEL,
    LAM_TYPE_RULE, /* several lines joined by a blank; parsed when its section ends */
} lam_config_type;

enum { LAM_CONFIG_MAX_WORDS = 5 };

typedef struct lam_config_key {
    const char *name;
    lam_config_type type;
    size_t offset; /* of the field in lam_config, lam_config_peer or lam_config_rule */
    size_t size;   /* of a text field */
    int64_t minimum, maximum;
    const char *words[LAM_CONFIG_MAX_WORDS]; /* in the order of the enum */
    const char *initial; /* the default as it would be written; NULL: none, or found out at start */
    bool required;
    bool live;           /* SIGHUP applies it; else a restart is needed */
    const char *example; /* what the example file shows where there is no default */
    const char *help;    /* sentences */
} lam_config_key;

typedef struct lam_config_section {
    const char *name;
    const char *named; /* what stands after the name: "NAME" in [peer NAME]; NULL: the section occurs once */
    const lam_config_key *keys;
    size_t key_count;
    const char *example; /* NAME in the example file */
    const char *help;
} lam_config_section;

/* The last two are the named ones. */
enum { LAM_SECTION_PEER = LAM_CONFIG_PLAIN_SECTIONS, LAM_SECTION_RULE, LAM_SECTION_COUNT };
extern const lam_config_section lam_config_sections[LAM_SECTION_COUNT];

/* Reads `text` into the field of `key` in `record`. Errors say what is expected. */
lam_status lam_config_value_parse(const lam_config_key *key, const char *text, void *record, lam_error *err);
/* The field as it would be written; "" when it is not set. */
void lam_config_value_format(const lam_config_key *key, const void *record, char text[LAM_CONFIG_TEXT]);
/* Whether both records have the same value there, and making it so. */
bool lam_config_value_equal(const lam_config_key *key, const void *a, const void *b);
void lam_config_value_copy(const lam_config_key *key, void *to, const void *from);
/* "Duration from 1s to 1h", for people. */
void lam_config_value_describe(const lam_config_key *key, lam_buffer *out);

/* Sets every field of a record of this section to its default. */
void lam_config_section_defaults(const lam_config_section *section, void *record);

/* Fills `config` from the text of its source. Appends "error: FILE:LINE: …" for every problem; returns their
 * number. */
int lam_config_read(const char *text, size_t length, lam_config *config, lam_buffer *report);

/* How the keys go together: appends "error: FILE:LINE: …" and "warning: FILE:LINE: …", without the place of
 * what stands in no file; returns the number of errors. */
int lam_config_check_together(const lam_config *config, lam_buffer *report);

#endif
