/* One condition language for deciding whether a series is wanted: the `when =` of a [rule] section and the
 * selector of a model are both lists of these terms. Parses and evaluates; where an attribute's value comes
 * from is the caller's business.
 *
 *     rule  = term { "and" term }
 *     term  = Keyword op value
 *     op    = "=" | "!=" | "<" | ">" | "<=" | ">=" | "~"
 *     value = word | "quoted text" | number | /POSIX extended regular expression/ [i]     (only after ~)
 *
 * `Keyword` is a DICOM attribute keyword (PS3.6), such as SeriesDescription. `=` and `!=` compare text,
 * exactly, without leading and trailing blanks; the four orderings compare numbers; `~` searches. A term
 * holds for an attribute with several values when it holds for any of them (`!=` when all of them differ). An
 * absent or empty attribute fails every term but `!=`. Inside quotes and slashes a backslash makes the next
 * quote or slash plain.
 *
 * Not for logs: a reason quotes attribute values (promise 9). */
#ifndef LAMINA_LAMINAD_RULE_H
#define LAMINA_LAMINAD_RULE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/cleanup.h"
#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lam_rule lam_rule;

typedef enum lam_rule_op {
    LAM_RULE_EQUAL,
    LAM_RULE_NOT_EQUAL,
    LAM_RULE_LESS,
    LAM_RULE_GREATER,
    LAM_RULE_AT_MOST,
    LAM_RULE_AT_LEAST,
    LAM_RULE_SEARCH,             /* regular expression */
    LAM_RULE_SEARCH_IGNORE_CASE, /* the same without regard to case */
} lam_rule_op;

enum {
    LAM_RULE_MAX_TERMS = 64,
    LAM_RULE_MAX_TEXT = 4096, /* bytes of a whole rule */
    LAM_RULE_REASON = 512
};

/* An empty rule, which holds always. NULL when out of memory. */
lam_rule *lam_rule_create(void);
void lam_rule_free(lam_rule *rule);
LAM_DEFINE_AUTO(lam_rule, lam_rule_free)

/* Adds one term; `keyword` and `value` are copied. LAM_E_INVALID: a bad keyword, number or regular
 * expression; LAM_E_LIMIT: more than LAM_RULE_MAX_TERMS, or an expression that core/base/pattern.h finds too
 * large. */
lam_status lam_rule_add(lam_rule *rule, const char *keyword, lam_rule_op op, const char *value,
                        lam_error *err);

/* Parses the text form. LAM_E_INVALID names the column and what was expected there. */
lam_status lam_rule_parse(const char *text, lam_rule **out, lam_error *err);

/* The keyword of the term with this index; NULL past the last. Borrowed. */
const char *lam_rule_keyword(const lam_rule *rule, size_t index);

/* Gives the text of the attribute with this keyword, several values separated by backslashes (PS3.5 6.2);
 * NULL when absent. Borrowed until the next call. */
typedef const char *(*lam_rule_get)(void *context, const char *keyword);

/* Whether every term holds. `reason` (LAM_RULE_REASON bytes, or NULL) says which term failed first and what
 * the value was, `Modality is "CT", wanted = MR`, or what the values are for which all hold, "" when there is
 * no term. Thread-safe on a shared rule. */
bool lam_rule_matches(const lam_rule *rule, lam_rule_get get, void *context, char *reason);

#ifdef __cplusplus
}
#endif
#endif
