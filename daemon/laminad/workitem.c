#include "daemon/laminad/workitem.h"

#include <string.h>

#include "core/base/buffer.h"
#include "core/base/cleanup.h"
#include "daemon/laminad/element.h"

#define SCHEDULED   LAM_WORKITEM_SCHEDULED
#define IN_PROGRESS LAM_WORKITEM_IN_PROGRESS
#define COMPLETED   LAM_WORKITEM_COMPLETED
#define CANCELED    LAM_WORKITEM_CANCELED

/* ---- states ---- */

static const char *const state_names[LAM_WORKITEM_STATES] = {
    [SCHEDULED] = "SCHEDULED",
    [IN_PROGRESS] = "IN PROGRESS",
    [COMPLETED] = "COMPLETED",
    [CANCELED] = "CANCELED",
};

const char *lam_workitem_state_name(lam_workitem_state state)
{
    return state_names[state];
}

bool lam_workitem_state_parse(const char *name, lam_workitem_state *out)
{
    for (int i = 0; i < LAM_WORKITEM_STATES; i++)
        if (name && strcmp(state_names[i], name) == 0) {
            *out = (lam_workitem_state)i;
            return true;
        }
    return false;
}

/* What who shows the right Transaction UID is told: [state it is in][state asked for]. */
static const uint16_t verdicts[LAM_WORKITEM_STATES][LAM_WORKITEM_STATES] = {
    [SCHEDULED] = {[SCHEDULED] = LAM_UPS_ONLY_CREATED,
                   [IN_PROGRESS] = LAM_UPS_OK,
                   [COMPLETED] = LAM_UPS_NOT_YET,
                   [CANCELED] = LAM_UPS_NOT_YET},
    [IN_PROGRESS] = {[SCHEDULED] = LAM_UPS_ONLY_CREATED,
                     [IN_PROGRESS] = LAM_UPS_IN_PROGRESS,
                     [COMPLETED] = LAM_UPS_OK,
                     [CANCELED] = LAM_UPS_OK},
    [COMPLETED] = {[SCHEDULED] = LAM_UPS_ONLY_CREATED,
                   [IN_PROGRESS] = LAM_UPS_NO_LONGER,
                   [COMPLETED] = LAM_UPS_ALREADY_COMPLETED,
                   [CANCELED] = LAM_UPS_NO_LONGER},
    [CANCELED] = {[SCHEDULED] = LAM_UPS_ONLY_CREATED,
                  [IN_PROGRESS] = LAM_UPS_NO_LONGER,
                  [COMPLETED] = LAM_UPS_NO_LONGER,
                  [CANCELED] = LAM_UPS_ALREADY_CANCELED},
};

uint16_t lam_workitem_judge_state(lam_workitem_state now, lam_workitem_state wanted, lam_workitem_key key)
{
    if (key != LAM_WORKITEM_KEY_RIGHT && wanted != SCHEDULED)
        return LAM_UPS_KEY;
    return verdicts[now][wanted];
}

uint16_t lam_workitem_judge_cancel(lam_workitem_state now, bool ours)
{
    static const uint16_t codes[LAM_WORKITEM_STATES] = {
        [COMPLETED] = LAM_UPS_COMPLETED, [CANCELED] = LAM_UPS_ALREADY_CANCELED};
    return now == IN_PROGRESS && !ours ? LAM_UPS_NO_CONTACT : codes[now];
}

uint16_t lam_workitem_judge_update(lam_workitem_state now, lam_workitem_key key)
{
    if (now == COMPLETED || now == CANCELED)
        return LAM_UPS_NO_LONGER;
    if (now == SCHEDULED)
        return key == LAM_WORKITEM_KEY_MISSING ? LAM_UPS_OK : LAM_UPS_NOT_YET;
    return key == LAM_WORKITEM_KEY_RIGHT ? LAM_UPS_OK : LAM_UPS_KEY;
}

#define INCONSISTENT "The submitted request is inconsistent with the state of the UPS Instance."

static const struct {
    uint16_t code;
    lam_status status;
    const char *meaning; /* PS3.4 */
    const char *warning; /* PS3.18 */
} answers[] = {
    {LAM_UPS_OK, LAM_OK, NULL, NULL},
    {LAM_UPS_ALREADY_CANCELED, LAM_OK, NULL, "The UPS is already in the requested state of CANCELED."},
    {LAM_UPS_ALREADY_COMPLETED, LAM_OK, NULL, "The UPS is already in the requested state of COMPLETED."},
    {LAM_UPS_NO_LONGER, LAM_E_STATE, "the workitem may no longer be updated", INCONSISTENT},
    {LAM_UPS_KEY, LAM_E_STATE, "the correct Transaction UID was not provided",
     "The Transaction UID is incorrect."},
    {LAM_UPS_IN_PROGRESS, LAM_E_STATE, "the workitem is already IN PROGRESS", INCONSISTENT},
    {LAM_UPS_ONLY_CREATED, LAM_E_STATE, "a workitem becomes SCHEDULED by being created only", INCONSISTENT},
    {LAM_UPS_NOT_FINAL, LAM_E_STATE,
     "the workitem does not meet the requirements of the final state: update it first with Performed Station "
     "Name Code, Performed Workitem Code, start and end in Unified Procedure Step Performed Procedure "
     "Sequence",
     INCONSISTENT},
    {LAM_UPS_UNKNOWN, LAM_E_NOT_FOUND, "there is no such workitem", NULL},
    {LAM_UPS_NOT_YET, LAM_E_STATE, "the workitem is not yet IN PROGRESS: nobody has a Transaction UID for it",
     INCONSISTENT},
    {LAM_UPS_COMPLETED, LAM_E_STATE, "the workitem is already COMPLETED", "The UPS is already COMPLETED."},
    {LAM_UPS_NO_CONTACT, LAM_E_STATE, "another performer has the workitem, and nothing here can tell it",
     "The performer cannot be contacted."},
};

lam_status lam_workitem_answer(uint16_t code, lam_workitem_key key, const char **warning, lam_error *err)
{
    size_t i = 0;
    while (i < LAM_COUNT(answers) - 1 && answers[i].code != code)
        i++;
    *warning = answers[i].warning;
    if (code == LAM_UPS_KEY && key == LAM_WORKITEM_KEY_MISSING)
        *warning = "The Transaction UID is missing.";
    if (answers[i].status == LAM_OK)
        return LAM_OK;
    return lam_fail(err, answers[i].status, "%s (%04XH)", answers[i].meaning, (unsigned)code);
}

/* ---- the data set ---- */

typedef enum demand { WITH_VALUE, WITHOUT_VALUE } demand;

static const struct {
    const char *tag, *keyword;
    demand demand;
    bool always;       /* not only when it is created */
    const char *words; /* the only values, by commas; NULL: any */
} demands[] = {
    {"00404005", "ScheduledProcedureStepStartDateTime", WITH_VALUE, true, NULL},
    {"00404041", "InputReadinessState", WITH_VALUE, true, "INCOMPLETE,UNAVAILABLE,READY"},
    {LAM_UPS_STATE, "ProcedureStepState", WITH_VALUE, false, "SCHEDULED"},
    {"00741200", "ScheduledProcedureStepPriority", WITH_VALUE, true, "HIGH,MEDIUM,LOW"},
    {"00741204", "ProcedureStepLabel", WITH_VALUE, true, NULL},
    {LAM_UPS_TRANSACTION, "TransactionUID", WITHOUT_VALUE, false, NULL},
    {LAM_UPS_PROGRESS, "ProcedureStepProgressInformationSequence", WITHOUT_VALUE, false, NULL},
    {LAM_UPS_PERFORMED, "UnifiedProcedureStepPerformedProcedureSequence", WITHOUT_VALUE, false, NULL},
};

static bool is_word_of(const char *words, const char *text)
{
    size_t length = strlen(text);
    for (const char *at = words; *at; at += strspn(at, ",")) {
        size_t word = strcspn(at, ",");
        if (word == length && memcmp(at, text, word) == 0)
            return true;
        at += word;
    }
    return false;
}

static void check_demand(const json_t *data_set, size_t i, lam_buffer *wrong)
{
    const char *text = lam_element_text(data_set, demands[i].tag), *keyword = demands[i].keyword;
    const char *before = wrong->length ? "; " : "";
    if (demands[i].demand == WITHOUT_VALUE) {
        if (lam_element_has_value(data_set, demands[i].tag))
            lam_buffer_printf(wrong, "%s%s must be empty", before, keyword);
    } else if (!text) {
        lam_buffer_printf(wrong, "%s%s is missing", before, keyword);
    } else if (demands[i].words && !is_word_of(demands[i].words, text)) {
        lam_buffer_printf(wrong, "%s%s must be one of %s", before, keyword, demands[i].words);
    }
}

static const char *offset_of(const json_t *data_set)
{
    return lam_element_text(data_set, "00080201");
}

static lam_status check_demands(const json_t *data_set, bool created, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer wrong;
    lam_buffer_init(&wrong, 4096);
    int64_t ms;
    for (size_t i = 0; i < LAM_COUNT(demands); i++)
        if (created || demands[i].always)
            check_demand(data_set, i, &wrong);
    const char *start = lam_element_text(data_set, "00404005");
    if (start && !lam_element_read_datetime(start, offset_of(data_set), &ms))
        lam_buffer_printf(&wrong, "%sScheduledProcedureStepStartDateTime is no date and time",
                          wrong.length ? "; " : "");
    return wrong.length ? lam_fail(err, LAM_E_INVALID, "%s", lam_buffer_text(&wrong)) : LAM_OK;
}

lam_status lam_workitem_check_new(const json_t *data_set, lam_error *err)
{
    const char *class = lam_element_text(data_set, "00080016");
    lam_status status = lam_element_check(data_set, err);
    if (status == LAM_OK && class && strcmp(class, LAM_UPS_PUSH) != 0)
        status = lam_fail(err, LAM_E_INVALID, "SOPClassUID is not that of a workitem, " LAM_UPS_PUSH);
    return status == LAM_OK ? check_demands(data_set, true, err) : status;
}

/* What N-SET does not allow (PS3.4 table CC.2.5-3): who the workitem is about, and what has its own
 * transactions. */
static bool is_fixed(const char *tag)
{
    static const char *const tags[] = {"00080016", "00080018", "0040A370", LAM_UPS_STATE, "00741224"};
    for (size_t i = 0; i < LAM_COUNT(tags); i++)
        if (strcmp(tags[i], tag) == 0)
            return true;
    return strncmp(tag, "0010", 4) == 0 || strncmp(tag, "0038", 4) == 0;
}

lam_status lam_workitem_merge(json_t *data_set, const json_t *changes, lam_error *err)
{
    const char *tag;
    json_t *element;
    lam_status status = lam_element_check(changes, err);
    if (status != LAM_OK)
        return status;
    json_object_foreach((json_t *)changes, tag, element)
    {
        if (strcmp(tag, LAM_UPS_TRANSACTION) == 0 || strcmp(tag, "00080005") == 0)
            continue;
        if (is_fixed(tag))
            return lam_fail(err, LAM_E_INVALID, "element %s cannot be changed by an update", tag);
        json_object_set(data_set, tag, element);
    }
    return check_demands(data_set, false, err);
}

json_t *lam_workitem_progress(json_t *data_set)
{
    if (!lam_element_has_value(data_set, LAM_UPS_PROGRESS))
        lam_element_set_item(data_set, LAM_UPS_PROGRESS, json_object());
    return lam_element_item(data_set, LAM_UPS_PROGRESS);
}

void lam_workitem_discontinue(json_t *data_set, json_t *code, const char *reason, int64_t now_ms)
{
    char time[LAM_DATETIME_TEXT];
    json_t *progress = lam_workitem_progress(data_set);
    lam_element_set_text(progress, "00404052", "DT", lam_element_write_datetime(now_ms, time));
    if (reason)
        lam_element_set_text(progress, "00741238", "LT", reason);
    if (!code && !lam_element_has_value(progress, LAM_UPS_WHY))
        code = lam_element_code("110513", "DCM", "Discontinued for unspecified reason");
    if (code)
        lam_element_set_item(progress, LAM_UPS_WHY, code);
}

bool lam_workitem_is_final(json_t *data_set, lam_workitem_state state, int64_t now_ms)
{
    static const char *const wanted[] = {"00404028", "00404050", "00404019", "00404051"};
    const json_t *performed = lam_element_item(data_set, LAM_UPS_PERFORMED);
    if (state == CANCELED) {
        lam_workitem_discontinue(data_set, NULL, NULL, now_ms);
        return true;
    }
    bool all = true;
    for (size_t i = 0; i < LAM_COUNT(wanted); i++)
        all &= lam_element_has_value(performed, wanted[i]);
    return all;
}

/* ---- the plan ---- */

static const char *code_value(const json_t *code)
{
    const char *value = lam_element_text(code, "00080100");
    return value ? value : lam_element_text(code, "00080119");
}

static bool is_of_scheme(const json_t *code, const char *scheme)
{
    const char *given = lam_element_text(code, "00080102");
    return given && strcmp(given, scheme) == 0;
}

/* The text of the processing parameter (MODEL, 99LAMINA), or NULL. */
static const char *model_parameter(const json_t *data_set)
{
    size_t index;
    json_t *item;
    json_array_foreach(lam_element_items(data_set, "00741210"), index, item)
    {
        const json_t *name = lam_element_item(item, "0040A043");
        const char *value = code_value(name);
        if (value && strcmp(value, "MODEL") == 0 && is_of_scheme(name, "99LAMINA"))
            return lam_element_text(item, "0040A160");
    }
    return NULL;
}

static void read_work(const json_t *data_set, lam_workitem_plan *plan)
{
    static const char *const analyses[] = {"110001", "110003", "110004"}; /* of CID 9231 */
    const json_t *code = lam_element_item(data_set, LAM_UPS_WORK);
    const char *value = code_value(code);
    plan->model = model_parameter(data_set);
    if (!plan->model && value && is_of_scheme(code, "99LAMINA"))
        plan->model = value;
    plan->work = plan->model ? LAM_WORK_KNOWN : value ? LAM_WORK_UNKNOWN : LAM_WORK_NONE;
    for (size_t i = 0; i < LAM_COUNT(analyses); i++)
        if (value && is_of_scheme(code, "DCM") && strcmp(value, analyses[i]) == 0)
            plan->work = LAM_WORK_KNOWN;
}

static void read_station(const json_t *data_set, const char *ae_title, lam_workitem_plan *plan)
{
    size_t index;
    json_t *code;
    plan->open = !lam_element_has_value(data_set, "00404025");
    json_array_foreach(lam_element_items(data_set, "00404025"), index, code)
    {
        const char *value = code_value(code);
        plan->addressed |= value && strcmp(value, ae_title) == 0;
    }
}

void lam_workitem_read_plan(const json_t *data_set, const char *ae_title, lam_workitem_plan *out)
{
    static const char *const ends[] = {"00404008", "00404011"};
    *out = (lam_workitem_plan){0};
    const char *ready = lam_element_text(data_set, "00404041"), *text;
    const char *priority = lam_element_text(data_set, "00741200");
    read_work(data_set, out);
    read_station(data_set, ae_title, out);
    out->ready = ready && strcmp(ready, "READY") == 0;
    out->priority = !priority ? 1 : strcmp(priority, "HIGH") == 0 ? 0 : strcmp(priority, "LOW") == 0 ? 2 : 1;
    if ((text = lam_element_text(data_set, "00404005")))
        lam_element_read_datetime(text, offset_of(data_set), &out->start_ms);
    for (size_t i = 0; i < LAM_COUNT(ends) && out->expires_ms == 0; i++)
        if ((text = lam_element_text(data_set, ends[i])))
            lam_element_read_datetime(text, offset_of(data_set), &out->expires_ms);
}
