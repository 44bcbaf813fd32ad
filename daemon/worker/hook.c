#include "daemon/worker/hook.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/json.h"

static void crash(void)
{
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
    abort();
}

static void hang(void)
{
    for (;;)
        pause();
}

static const struct {
    const char *prefix;
    void (*act)(void);
} poisons[] = {
    {"LAMINA-TEST-CRASH", crash},
    {"LAMINA-TEST-HANG", hang},
};

static bool enabled(void)
{
    const char *value = getenv("LAMINA_TEST_HOOKS");
    return value && strcmp(value, "1") == 0;
}

void lam_worker_hook(const char *value, bool indexing)
{
    if (!value || !enabled())
        return;
    for (size_t i = 0; i < LAM_COUNT(poisons); i++) {
        size_t n = strlen(poisons[i].prefix);
        bool for_index = strncmp(value, poisons[i].prefix, n) == 0 && strncmp(value + n, "-INDEX", 6) == 0;
        if (strncmp(value, poisons[i].prefix, n) == 0 && for_index == indexing)
            poisons[i].act();
    }
}

void lam_worker_hook_index(const char *json)
{
    LAM_AUTO_PTR(lam_json) *document = NULL;
    if (!enabled() || lam_json_parse(json, strlen(json), &document, NULL) != LAM_OK)
        return;
    static const char *const tags[] = {"00100020", "0008103E"};
    const lam_jv *attributes = lam_jv_get(lam_json_root(document), "attributes");
    for (size_t i = 0; i < LAM_COUNT(tags); i++)
        lam_worker_hook(lam_jv_text(lam_jv_at(lam_jv_get(lam_jv_get(attributes, tags[i]), "Value"), 0), NULL),
                        true);
}
