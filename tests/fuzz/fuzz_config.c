/* Fuzzes the configuration reader and the rule language in it: any text is either refused with a message, or
 * is written again as a file that reads back the same; every rule can be evaluated. */
#include <stdlib.h>
#include <string.h>

#include "daemon/laminad/config_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static lam_config *read_config(const char *text, size_t length, int *errors)
{
    lam_config *config = calloc(1, sizeof *config);
    lam_buffer report;
    lam_buffer_init(&report, 1 << 22);
    for (size_t i = 0; i < LAM_SECTION_PEER; i++)
        lam_config_section_defaults(&lam_config_sections[i], config);
    *errors = lam_config_read(text, length, config, &report);
    if (*errors > 0 && report.length == 0)
        abort();
    lam_config_check_together(config, &report);
    lam_buffer_done(&report);
    return config;
}

static const char *give_text(void *context, const char *keyword)
{
    (void)context;
    return strlen(keyword) % 2 ? "1.5\\ab c\\\xc3\xa4" : NULL;
}

static void evaluate(const lam_config *config)
{
    char reason[LAM_RULE_REASON];
    for (size_t i = 0; i < config->rule_count; i++)
        if (!lam_rule_matches(config->rules[i].when, give_text, NULL, reason) && !*reason)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    int errors = 0;
    lam_config *first = read_config((const char *)bytes, length, &errors);
    if (errors == 0) {
        LAM_AUTO(lam_buffer_done) lam_buffer once;
        LAM_AUTO(lam_buffer_done) lam_buffer twice;
        lam_buffer_init(&once, 1 << 22);
        lam_buffer_init(&twice, 1 << 22);
        evaluate(first);
        lam_config_write(first, &once);
        lam_config *second = read_config(once.data, once.length, &errors);
        lam_config_write(second, &twice);
        if (errors != 0 || once.length != twice.length || memcmp(once.data, twice.data, once.length) != 0)
            abort();
        lam_config_free(second);
    }
    lam_config_free(first);
    return 0;
}
