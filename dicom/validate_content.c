/* Rules about documents and what they refer to (validate.h). */
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/validate_rules.h"

/* Whether `uid` is in a sequence of series, each with a sequence of instances. */
static bool is_listed(lam_dataset *parent, lam_tag instances, const char *uid)
{
    for (size_t s = 0; s < lam_dataset_items(parent, LAM_TAG_REFERENCED_SERIES); s++) {
        lam_dataset *series = lam_dataset_item(parent, LAM_TAG_REFERENCED_SERIES, s);
        for (size_t i = 0; i < lam_dataset_items(series, instances); i++)
            if (lam_dataset_is(lam_dataset_item(series, instances, i), LAM_TAG_REFERENCED_INSTANCE, uid))
                return true;
    }
    return false;
}

static bool is_evidence(lam_dataset *object, const char *uid)
{
    for (size_t i = 0; i < lam_dataset_items(object, LAM_TAG_EVIDENCE); i++)
        if (is_listed(lam_dataset_item(object, LAM_TAG_EVIDENCE, i), LAM_TAG_REFERENCED_SOPS, uid))
            return true;
    return false;
}

static void check_reference(lam_validation *v, lam_dataset *item)
{
    static const lam_rule_name reference = {LAM_TAG_REFERENCED_SOPS, "ReferencedSOPSequence", "PS3.3 C.18.3"};
    static const lam_rule_name evidence = {LAM_TAG_EVIDENCE, "CurrentRequestedProcedureEvidenceSequence",
                                           "PS3.3 C.17.2"};
    lam_dataset *sop = lam_dataset_item(item, LAM_TAG_REFERENCED_SOPS, 0);
    const char *uid = sop ? lam_dataset_text(sop, LAM_TAG_REFERENCED_INSTANCE, "") : "";
    if (!*uid)
        lam_validate_tell(v, &reference, "is missing in an image item");
    else if (!is_evidence(v->object, uid))
        lam_validate_tell(v, &evidence, "does not list %.64s, to which the content refers", uid);
}

static void check_number(lam_validation *v, lam_dataset *item)
{
    static const lam_rule_name rule = {LAM_TAG_MEASURED_VALUES, "MeasuredValueSequence", "PS3.3 C.18.1"};
    lam_dataset *value = lam_dataset_item(item, LAM_TAG_MEASURED_VALUES, 0);
    double number = 0;
    if (!value || !lam_dataset_number(value, LAM_TAG_NUMERIC_VALUE, 0, &number))
        lam_validate_tell(v, &rule, "has no number");
    else if (lam_dataset_items(value, LAM_TAG_UNITS) != 1)
        lam_validate_tell(v, &rule, "has no unit");
}

static void check_coordinates(lam_validation *v, lam_dataset *item)
{
    static const lam_rule_name data = {LAM_TAG_GRAPHIC_DATA, "GraphicData", "PS3.3 C.18.6"};
    static const lam_rule_name frame = {LAM_TAG_REFERENCED_FRAME_OF_REFERENCE,
                                        "ReferencedFrameOfReferenceUID", "PS3.3 C.18.9"};
    static const lam_rule_name image = {LAM_TAG_CONTENT, "ContentSequence", "PS3.3 C.18.6"};
    bool space = lam_dataset_is(item, LAM_TAG_VALUE_TYPE, "SCOORD3D");
    size_t count = lam_dataset_count(item, LAM_TAG_GRAPHIC_DATA);
    if (count == 0 || count % (space ? 3 : 2) != 0)
        lam_validate_tell(v, &data, "has %zu numbers, which are no points", count);
    if (space && !lam_dataset_has(item, LAM_TAG_REFERENCED_FRAME_OF_REFERENCE))
        lam_validate_tell(v, &frame, "is missing");
    if (!space && lam_dataset_items(item, LAM_TAG_CONTENT) == 0)
        lam_validate_tell(v, &image, "does not say which image the coordinates are selected from");
}

/* A measurement group is followed from study to study by its tracking UID (TID 1411, 1410, 1501). */
static void check_group(lam_validation *v, lam_dataset *group)
{
    static const lam_rule_name rule = {LAM_TAG_UID_VALUE, "UID", "PS3.16 TID 1501"};
    for (size_t i = 0; i < lam_dataset_items(group, LAM_TAG_CONTENT); i++) {
        lam_dataset *item = lam_dataset_item(group, LAM_TAG_CONTENT, i);
        lam_dataset *name = lam_dataset_item(item, LAM_TAG_CONCEPT_NAMES, 0);
        if (name && lam_dataset_is(name, LAM_TAG_CODE_VALUE, "112040"))
            return;
    }
    lam_validate_tell(v, &rule, "a measurement group has no Tracking Unique Identifier");
}

static void check_item(lam_validation *v, lam_dataset *item)
{
    static const lam_rule_name relation = {LAM_TAG_RELATIONSHIP, "RelationshipType", "PS3.3 C.17.3.2.4"};
    static const lam_rule_name name_rule = {LAM_TAG_CONCEPT_NAMES, "ConceptNameCodeSequence", "PS3.3 C.17.3"};
    static const struct {
        const char *type;
        void (*check)(lam_validation *v, lam_dataset *item);
        bool needs_name;
    } types[] = {
        {"IMAGE", check_reference, false},
        {"NUM", check_number, true},
        {"SCOORD", check_coordinates, false},
        {"SCOORD3D", check_coordinates, false},
        {"CODE", NULL, true},
        {"TEXT", NULL, true},
        {"UIDREF", NULL, true},
        {"CONTAINER", NULL, false},
    };
    lam_dataset *name = lam_dataset_item(item, LAM_TAG_CONCEPT_NAMES, 0);
    if (!lam_dataset_has(item, LAM_TAG_RELATIONSHIP))
        lam_validate_tell(v, &relation, "is missing in an item of the content");
    for (size_t i = 0; i < LAM_COUNT(types); i++) {
        if (!lam_dataset_is(item, LAM_TAG_VALUE_TYPE, types[i].type))
            continue;
        if (types[i].needs_name && !name)
            lam_validate_tell(v, &name_rule, "is missing in a %s item", types[i].type);
        if (types[i].check)
            types[i].check(v, item);
    }
    if (name && lam_dataset_is(name, LAM_TAG_CODE_VALUE, "125007"))
        check_group(v, item);
}

static void walk(lam_validation *v, lam_dataset *parent, int depth)
{
    enum { DEEPEST = 16 };
    for (size_t i = 0; i < lam_dataset_items(parent, LAM_TAG_CONTENT) && !lam_validate_full(v); i++) {
        lam_dataset *item = lam_dataset_item(parent, LAM_TAG_CONTENT, i);
        check_item(v, item);
        if (depth < DEEPEST)
            walk(v, item, depth + 1);
    }
}

void lam_validate_content(lam_validation *v)
{
    walk(v, v->object, 0);
}

/* What is annotated is among the images that the state is for (PS3.3 C.11.11). */
void lam_validate_presentation(lam_validation *v)
{
    static const lam_tag annotations = LAM_TAG(0x0070, 0x0001);
    static const lam_rule_name rule = {LAM_TAG_REFERENCED_IMAGES, "ReferencedImageSequence", "PS3.3 C.10.5"};
    for (size_t i = 0; i < lam_dataset_items(v->object, annotations) && !lam_validate_full(v); i++) {
        lam_dataset *annotation = lam_dataset_item(v->object, annotations, i);
        lam_dataset *image = lam_dataset_item(annotation, LAM_TAG_REFERENCED_IMAGES, 0);
        const char *uid = image ? lam_dataset_text(image, LAM_TAG_REFERENCED_INSTANCE, "") : "";
        if (!is_listed(v->object, LAM_TAG_REFERENCED_IMAGES, uid))
            lam_validate_tell(v, &rule, "of annotation %zu is not in ReferencedSeriesSequence", i + 1);
    }
}
