#include "dicom/profile.h"

#include <string.h>

#include "core/base/cleanup.h"

static const char *const names[LAM_PROFILE_COUNT] = {"strict", "ohif", "slicer"};

const char *lam_profile_name(lam_profile profile)
{
    return names[profile];
}

bool lam_profile_find(const char *name, lam_profile *out)
{
    for (size_t i = 0; name && i < LAM_PROFILE_COUNT; i++)
        if (strcmp(names[i], name) == 0) {
            *out = (lam_profile)i;
            return true;
        }
    return false;
}

static const char *const forms[] = {
    [LAM_SEG_BINARY] = "binary",
    [LAM_SEG_OCCUPANCY] = "occupancy",
    [LAM_SEG_PROBABILITY] = "probability",
    [LAM_SEG_LABELMAP] = "labelmap",
};

const char *lam_seg_form_name(lam_seg_form form)
{
    return forms[form];
}

bool lam_seg_form_find(const char *name, lam_seg_form *out)
{
    for (size_t i = 0; name && i < LAM_COUNT(forms); i++)
        if (strcmp(forms[i], name) == 0) {
            *out = (lam_seg_form)i;
            return true;
        }
    return false;
}

/* One row a choice: the value of each profile, and why they differ. The values are words, so that what is
 * documented is what is read. */
static const lam_profile_row rows[] = {
    {"seg_form",
     {"model", "occupancy", "binary"},
     "What the pixels mean best is the model's to say, and binary where it does not. OHIF 3.13 reads the "
     "bits of a whole BINARY object as if each frame began at a byte, so a matrix whose "
     "rows×columns is no multiple of 8 is torn unless its data source asks for single frames. 8 bits a voxel "
     "with maximum 1 read right however OHIF is configured. dcmqi, which reads for 3D Slicer, wants BINARY."},
    {"empty_frames",
     {"no", "no", "no"},
     "PS3.3 C.8.20.2 leaves frames without a voxel to the writer. Every reader tried takes their absence, "
     "and "
     "they would be most of the object."},
    {"empty_segments",
     {"yes", "no", "no"},
     "A segment that was looked for and not found is part of the answer, so strict describes it though it "
     "has "
     "no frame. Viewers list it as a structure that cannot be shown, and jump to nowhere when it is chosen."},
    {"region_contours",
     {"no", "yes", "no"},
     "OHIF's reader of TID 1500 opens a group of measurements at its first SCOORD or SCOORD3D; a group that "
     "refers to a segment alone opens a black viewport. So the outline of the segment where it is largest is "
     "added, first on the image and then in the patient: 3.13 shows the image of an SCOORD, draws no "
     "POLYGON, "
     "and finds the slice of an SCOORD3D only if rounding happens to leave its points within 1e-5 mm of it."},
    {"image_library",
     {"full", "full", "full"},
     "TID 1500 lets the library be empty, and some writers leave it so. OHIF finds the images of a report "
     "there and nowhere else; nobody minds a full one."},
    {"one_object_a_series",
     {"yes", "yes", "yes"},
     "PS3.3 lets several segmentations share a series. Viewers load a series at a time and lay the first "
     "object over the images, so each object has a series of its own."},
};

const lam_profile_row *lam_profile_rows(size_t *count)
{
    *count = LAM_COUNT(rows);
    return rows;
}

static const char *value_of(lam_profile profile, const char *choice)
{
    for (size_t i = 0; i < LAM_COUNT(rows); i++)
        if (strcmp(rows[i].choice, choice) == 0)
            return rows[i].values[profile];
    return "no";
}

static bool is_yes(lam_profile profile, const char *choice)
{
    return strcmp(value_of(profile, choice), "yes") == 0;
}

lam_profile_choices lam_profile_choose(lam_profile profile)
{
    lam_profile_choices choices = {
        .empty_frames = is_yes(profile, "empty_frames"),
        .empty_segments = is_yes(profile, "empty_segments"),
        .region_contours = is_yes(profile, "region_contours"),
    };
    choices.form_is_open = !lam_seg_form_find(value_of(profile, "seg_form"), &choices.seg_form);
    return choices; /* an open form is the first, binary */
}

void lam_profile_prefer(lam_profile_choices *choices, const char *form)
{
    if (choices->form_is_open)
        lam_seg_form_find(form, &choices->seg_form);
}
