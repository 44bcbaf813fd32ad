#include "daemon/laminad/selection.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/text.h"
#include "daemon/laminad/header.h"

struct lam_selection {
    const lam_model_selector *selector;
    lam_rule *rule; /* modality and regular expressions */
};

const char *lam_rule_source_get(void *context, const char *keyword)
{
    lam_rule_source *source = context;
    const char *tag = lam_header_tag(keyword);
    return tag ? lam_header_text(source->attributes, tag, source->text) : NULL;
}

static lam_status add_match(lam_rule *rule, const lam_model_match *match, lam_error *err)
{
    if (!lam_header_tag(match->keyword))
        return lam_fail(err, LAM_E_INVALID, "selector names the attribute %s, which cannot be selected on",
                        match->keyword);
    return lam_rule_add(rule, match->keyword,
                        match->ignore_case ? LAM_RULE_SEARCH_IGNORE_CASE : LAM_RULE_SEARCH, match->pattern,
                        err);
}

lam_status lam_selection_create(const lam_model_selector *selector, lam_selection **out, lam_error *err)
{
    LAM_AUTO_PTR(lam_selection) *selection = calloc(1, sizeof *selection);
    if (!selection || !(selection->rule = lam_rule_create()))
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    selection->selector = selector;
    lam_status status = LAM_OK;
    if (selector->modality[0])
        status = lam_rule_add(selection->rule, "Modality", LAM_RULE_EQUAL, selector->modality, err);
    for (size_t i = 0; status == LAM_OK && i < selector->match_count; i++)
        status = add_match(selection->rule, &selector->matches[i], err);
    if (status == LAM_OK)
        *out = LAM_TAKE_PTR(selection);
    return status;
}

void lam_selection_free(lam_selection *selection)
{
    if (!selection)
        return;
    lam_rule_free(selection->rule);
    free(selection);
}

/* ---- geometry from DICOM JSON ---- */

/* Numbers of an attribute, which DICOM JSON may write as text. */
static size_t read_numbers(const json_t *attribute, size_t most, double *out)
{
    const json_t *values = json_object_get(attribute, "Value");
    size_t count = 0;
    for (; count < most && count < json_array_size(values); count++) {
        const json_t *value = json_array_get(values, count);
        out[count] =
            json_is_string(value) ? strtod(json_string_value(value), NULL) : json_number_value(value);
    }
    return count;
}

/* An attribute of the object, or of a functional group of its frames (PS3.3 C.7.6.16). */
static const json_t *find_attribute(const json_t *attributes, const char *macro, const char *tag)
{
    static const char *const groups[] = {"52009229", "52009230"}; /* shared, of the first frame */
    const json_t *found = json_object_get(attributes, tag);
    for (size_t i = 0; !found && i < LAM_COUNT(groups); i++) {
        const json_t *group = json_object_get(json_object_get(attributes, groups[i]), "Value");
        const json_t *item = json_object_get(json_object_get(json_array_get(group, 0), macro), "Value");
        found = json_object_get(json_array_get(item, 0), tag);
    }
    return found;
}

bool lam_selection_normal(const json_t *attributes, double normal[3])
{
    double o[6];
    if (read_numbers(find_attribute(attributes, "00209116", "00200037"), 6, o) != 6)
        return false;
    normal[0] = o[1] * o[5] - o[2] * o[4];
    normal[1] = o[2] * o[3] - o[0] * o[5];
    normal[2] = o[0] * o[4] - o[1] * o[3];
    return true;
}

/* "axial", "coronal", "sagittal"; NULL when there is no orientation. */
static const char *plane_of(const json_t *attributes)
{
    static const char *const planes[] = {"sagittal", "coronal", "axial"};
    double normal[3];
    if (!lam_selection_normal(attributes, normal))
        return NULL;
    size_t best = 0;
    for (size_t i = 1; i < 3; i++)
        if (fabs(normal[i]) > fabs(normal[best]))
            best = i;
    return planes[best];
}

static double slice_distance(const lam_series_facts *facts)
{
    static const char *const tags[] = {"00180088", "00180050"}; /* Spacing Between Slices, Slice Thickness */
    double distance = facts->slice_mm;
    for (size_t i = 0; distance <= 0 && i < LAM_COUNT(tags); i++)
        read_numbers(find_attribute(facts->attributes, "00289110", tags[i]), 1, &distance);
    return distance;
}

/* ---- conditions ---- */

/* What is said of a series: of those conditions that hold, or of the one that does not. */
typedef struct reason {
    char *text; /* [LAM_RULE_REASON] */
    size_t used;
} reason;

static void say(reason *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(reason *r, const char *format, ...)
{
    char words[LAM_RULE_REASON];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    if (r->used)
        r->used += lam_text_copy(r->text + r->used, LAM_RULE_REASON - r->used, ", ");
    r->used += lam_text_copy(r->text + r->used, LAM_RULE_REASON - r->used, words);
}

/* Of a condition that fails nothing else is said. */
static void start_again(reason *r)
{
    r->used = 0;
}

static bool attributes_hold(const lam_selection *s, const lam_series_facts *facts, reason *r)
{
    lam_rule_source source = {.attributes = facts->attributes};
    char words[LAM_RULE_REASON] = "";
    bool holds = lam_rule_matches(s->rule, lam_rule_source_get, &source, words);
    if (words[0])
        say(r, "%s", words);
    return holds;
}

static bool is_word(const lam_model_words *words, const char *text)
{
    for (size_t i = 0; text && i < words->count; i++)
        if (strcasecmp(words->word[i], text) == 0)
            return true;
    return false;
}

static bool word_holds(const lam_model_words *words, const char *name, const char *text, reason *r)
{
    if (words->count == 0)
        return true;
    bool holds = is_word(words, text);
    char shown[65]; /* cut between characters, because a reason becomes JSON */
    lam_text_copy(shown, sizeof shown, text);
    if (!holds)
        start_again(r);
    if (text)
        say(r, "%s is %s", name, shown);
    else
        say(r, "%s is absent", name);
    for (size_t i = 0; !holds && i < words->count; i++)
        say(r, "%s %.64s", i ? "or" : "wanted", words->word[i]);
    return holds;
}

static bool class_holds(const lam_selection *s, const lam_series_facts *facts, reason *r)
{
    char text[LAM_HEADER_VALUE];
    return word_holds(&s->selector->sop_classes, "SOPClassUID",
                      lam_header_text(facts->attributes, "00080016", text), r);
}

static bool body_part_holds(const lam_selection *s, const lam_series_facts *facts, reason *r)
{
    char text[LAM_HEADER_VALUE];
    return word_holds(&s->selector->body_parts, "BodyPartExamined",
                      lam_header_text(facts->attributes, "00180015", text), r);
}

static bool plane_holds(const lam_selection *s, const lam_series_facts *facts, reason *r)
{
    return word_holds(&s->selector->planes, "the plane of the slices", plane_of(facts->attributes), r);
}

/* A hundredth of a millimetre is not worth a refusal: written values are rounded. */
static bool range_holds(const double range[2], const char *name, double value, reason *r)
{
    if (range[1] <= 0)
        return true;
    bool holds = value >= range[0] - 0.01 && value <= range[1] + 0.01;
    if (!holds)
        start_again(r);
    if (value > 0)
        say(r, "%s is %.4g mm", name, value);
    else
        say(r, "%s is not known", name);
    if (!holds)
        say(r, "wanted %.4g to %.4g mm", range[0], range[1]);
    return holds;
}

static bool pixels_hold(const lam_selection *s, const lam_series_facts *facts, reason *r)
{
    double spacing[2] = {0, 0};
    read_numbers(find_attribute(facts->attributes, "00289110", "00280030"), 2, spacing);
    return range_holds(s->selector->pixel_mm, "the distance of rows", spacing[0], r) &&
           range_holds(s->selector->pixel_mm, "the distance of columns", spacing[1], r);
}

static bool slices_hold(const lam_selection *s, const lam_series_facts *facts, reason *r)
{
    return range_holds(s->selector->slice_mm, "the distance of slices", slice_distance(facts), r);
}

static bool count_holds(const lam_selection *s, const lam_series_facts *facts, reason *r)
{
    int most = s->selector->maximum_slices, least = s->selector->minimum_slices;
    bool holds = facts->slices >= least && (most == 0 || facts->slices <= most);
    if (!holds)
        start_again(r);
    if (holds && least == 1 && most == 0)
        return true;
    say(r, "has %" PRId64 " slice%s", facts->slices, facts->slices == 1 ? "" : "s");
    if (facts->slices < least)
        say(r, "needs at least %d", least);
    else if (!holds)
        say(r, "takes at most %d", most);
    return holds;
}

bool lam_selection_wants(const lam_selection *selection, const lam_series_facts *facts,
                         char text[LAM_RULE_REASON])
{
    static bool (*const conditions[])(const lam_selection *, const lam_series_facts *, reason *) = {
        attributes_hold, class_holds, body_part_holds, plane_holds, pixels_hold, slices_hold, count_holds,
    };
    reason r = {.text = text};
    text[0] = '\0';
    for (size_t i = 0; i < LAM_COUNT(conditions); i++)
        if (!conditions[i](selection, facts, &r))
            return false;
    if (!text[0])
        say(&r, "every series suits it");
    return true;
}
