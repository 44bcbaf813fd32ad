#include "daemon/laminad/findings_list.h"

#include "core/base/cleanup.h"

/* Where a member's values lie: the array, the number in each item, how it is scaled. */
static const struct {
    const char *parent, *array, *value;
    double scale;
    const char *unit; /* NULL: the item's own "unit" */
    bool is_volume;
} sources[] = {
    {NULL, "segments", "volume_ml", 1, "mL", true},
    {"classification", "classes", "probability", 100, "%", false},
    {NULL, "detections", "score", 100, "%", false},
    {NULL, "measurements", "value", 1, NULL, false},
};

void lam_findings_list(const json_t *result, void (*visit)(void *context, const lam_listed_finding *finding),
                       void *context)
{
    for (size_t i = 0; i < LAM_COUNT(sources); i++) {
        const json_t *parent = sources[i].parent ? json_object_get(result, sources[i].parent) : result;
        const json_t *array = json_object_get(parent, sources[i].array);
        for (size_t k = 0; k < json_array_size(array); k++) {
            const json_t *item = json_array_get(array, k), *code = json_object_get(item, "code");
            const json_t *value = json_object_get(item, sources[i].value);
            const char *label = json_string_value(json_object_get(item, "label"));
            const char *unit =
                sources[i].unit ? sources[i].unit : json_string_value(json_object_get(item, "unit"));
            const lam_listed_finding finding = {.code = json_is_object(code) ? code : NULL,
                                                .label = label,
                                                .is_volume = sources[i].is_volume,
                                                .value = sources[i].scale * json_number_value(value),
                                                .unit = unit ? unit : "1"};
            if (json_is_number(value) && label)
                visit(context, &finding);
        }
    }
}
