#include "dicom/sr_tree.h"

#include "dicom/tag.h"

static const char *const relations[] = {
    [LAM_SR_CONTAINS] = "CONTAINS",
    [LAM_SR_HAS_CONCEPT_MOD] = "HAS CONCEPT MOD",
    [LAM_SR_HAS_OBS_CONTEXT] = "HAS OBS CONTEXT",
    [LAM_SR_HAS_ACQ_CONTEXT] = "HAS ACQ CONTEXT",
    [LAM_SR_HAS_PROPERTIES] = "HAS PROPERTIES",
    [LAM_SR_SELECTED_FROM] = "SELECTED FROM",
};

static lam_dataset *item(lam_dataset *parent, lam_sr_relation relation, const char *type, lam_code name)
{
    lam_dataset *child = lam_dataset_add(parent, LAM_TAG_CONTENT);
    lam_dataset_set_text(child, LAM_TAG_RELATIONSHIP, relations[relation]);
    lam_dataset_set_text(child, LAM_TAG_VALUE_TYPE, type);
    lam_result_code(child, LAM_TAG_CONCEPT_NAMES, name);
    return child;
}

static void make_container(lam_dataset *container, const char *template_id)
{
    lam_dataset_set_text(container, LAM_TAG_CONTINUITY, "SEPARATE");
    if (!template_id)
        return;
    lam_dataset *template = lam_dataset_add(container, LAM_TAG_TEMPLATES);
    lam_dataset_set_text(template, LAM_TAG_MAPPING_RESOURCE, "DCMR");
    lam_dataset_set_text(template, LAM_TAG_TEMPLATE, template_id);
}

void lam_sr_root(lam_dataset *document, lam_code name, const char *template_id)
{
    lam_dataset_set_text(document, LAM_TAG_VALUE_TYPE, "CONTAINER");
    lam_result_code(document, LAM_TAG_CONCEPT_NAMES, name);
    make_container(document, template_id);
}

lam_dataset *lam_sr_container(lam_dataset *parent, lam_sr_relation relation, lam_code name,
                              const char *template_id)
{
    lam_dataset *child = item(parent, relation, "CONTAINER", name);
    make_container(child, template_id);
    return child;
}

lam_dataset *lam_sr_code(lam_dataset *parent, lam_sr_relation relation, lam_code name, lam_code value)
{
    lam_dataset *child = item(parent, relation, "CODE", name);
    lam_result_code(child, LAM_TAG_CONCEPT_CODES, value);
    return child;
}

lam_dataset *lam_sr_text(lam_dataset *parent, lam_sr_relation relation, lam_code name, const char *text)
{
    char ascii[1025];
    lam_dataset *child = item(parent, relation, "TEXT", name);
    lam_dataset_set_text(child, LAM_TAG_TEXT_VALUE, lam_result_ascii(text, sizeof ascii - 1, ascii));
    return child;
}

lam_dataset *lam_sr_uid(lam_dataset *parent, lam_sr_relation relation, lam_code name, const char *uid)
{
    lam_dataset *child = item(parent, relation, "UIDREF", name);
    lam_dataset_set_text(child, LAM_TAG_UID_VALUE, uid);
    return child;
}

lam_dataset *lam_sr_number(lam_dataset *parent, lam_sr_relation relation, lam_code name, double number,
                           lam_code unit)
{
    lam_dataset *child = item(parent, relation, "NUM", name);
    lam_dataset *measured = lam_dataset_add(child, LAM_TAG_MEASURED_VALUES);
    lam_dataset_set_number(measured, LAM_TAG_NUMERIC_VALUE, number);
    lam_result_code(measured, LAM_TAG_UNITS, unit);
    return child;
}

lam_dataset *lam_sr_image(lam_dataset *parent, lam_sr_relation relation, lam_code name, const char *sop_class,
                          const char *sop_instance, int segment)
{
    lam_dataset *child = item(parent, relation, "IMAGE", name);
    lam_dataset *reference = lam_dataset_add(child, LAM_TAG_REFERENCED_SOPS);
    lam_result_reference(reference, sop_class, sop_instance);
    if (segment > 0)
        lam_dataset_set_number(reference, LAM_TAG_REFERENCED_SEGMENT, segment);
    return child;
}

lam_dataset *lam_sr_image_frame(lam_dataset *parent, lam_sr_relation relation, lam_code name,
                                const char *sop_class, const char *sop_instance, int64_t frame)
{
    lam_dataset *child = lam_sr_image(parent, relation, name, sop_class, sop_instance, 0);
    if (frame > 0)
        lam_dataset_set_number(lam_dataset_item(child, LAM_TAG_REFERENCED_SOPS, 0), LAM_TAG_REFERENCED_FRAME,
                               (double)frame);
    return child;
}

lam_dataset *lam_sr_scoord(lam_dataset *parent, lam_sr_relation relation, lam_code name, const char *type,
                           const double *points, size_t count)
{
    lam_dataset *child = item(parent, relation, "SCOORD", name);
    lam_dataset_set_numbers(child, LAM_TAG_GRAPHIC_DATA, points, 2 * count);
    lam_dataset_set_text(child, LAM_TAG_GRAPHIC_TYPE, type);
    return child;
}

lam_dataset *lam_sr_scoord3d(lam_dataset *parent, lam_sr_relation relation, lam_code name, const char *type,
                             const double *points, size_t count, const char *frame_of_reference)
{
    lam_dataset *child = item(parent, relation, "SCOORD3D", name);
    lam_dataset_set_text(child, LAM_TAG_REFERENCED_FRAME_OF_REFERENCE, frame_of_reference);
    lam_dataset_set_numbers(child, LAM_TAG_GRAPHIC_DATA, points, 3 * count);
    lam_dataset_set_text(child, LAM_TAG_GRAPHIC_TYPE, type);
    return child;
}
