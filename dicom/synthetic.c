#include "dicom/synthetic.h"

#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/tag.h"

struct attribute {
    lam_tag tag;
    const char *text;
};

/* Patient, General Study, General Series, General Image, General Equipment, SOP Common (PS3.3 C.7.1.1,
 * C.7.2.1, C.7.3.1, C.7.6.1, C.7.5.1, C.12.1). */
static const struct attribute common[] = {
    {LAM_TAG_CHARACTER_SET, "ISO_IR 192"},
    {LAM_TAG_IMAGE_TYPE, "DERIVED\\SECONDARY\\OTHER"},
    {LAM_TAG_SYNTHETIC, "YES"},
    {LAM_TAG_STUDY_TIME, "120000"},
    {LAM_TAG_SERIES_TIME, "120000"},
    {LAM_TAG_CONTENT_TIME, "120000"},
    {LAM_TAG_ACCESSION, ""},
    {LAM_TAG_REFERRING_PHYSICIAN, ""},
    {LAM_TAG_MANUFACTURER, "Lamina"},
    {LAM_TAG_STUDY_DESCRIPTION, "SYNTHETIC, no patient"},
    {LAM_TAG_DERIVATION_DESCRIPTION, "Drawn by a generative network, not acquired from a patient"},
    {LAM_TAG_BIRTH_DATE, ""},
    {LAM_TAG_SEX, "O"},
    {LAM_TAG_STUDY_ID, "1"},
    {LAM_TAG_BURNED_IN, "NO"},
    {LAM_TAG_SAMPLES, "1"},
    {LAM_TAG_PHOTOMETRIC, "MONOCHROME2"},
};

/* MR Image (PS3.3 C.8.3.1), Frame of Reference (C.7.4.1). */
static const struct attribute mr[] = {
    {LAM_TAG(0x0018, 0x0020), "GR"},   /* ScanningSequence */
    {LAM_TAG(0x0018, 0x0021), "NONE"}, /* SequenceVariant */
    {LAM_TAG(0x0018, 0x0022), ""},     /* ScanOptions */
    {LAM_TAG(0x0018, 0x0023), "3D"},   /* MRAcquisitionType */
    {LAM_TAG(0x0018, 0x0080), "10"},   /* RepetitionTime */
    {LAM_TAG(0x0018, 0x0081), "3"},    /* EchoTime */
    {LAM_TAG(0x0018, 0x0091), "1"},    /* EchoTrainLength */
    {LAM_TAG(0x0018, 0x5100), "HFS"},  /* PatientPosition */
    {LAM_TAG_POSITION_INDICATOR, ""},
};

/* CR Series (PS3.3 C.8.1.1), General Image. */
static const struct attribute cr[] = {
    {LAM_TAG(0x0018, 0x5101), "PA"}, /* ViewPosition */
    {LAM_TAG_PATIENT_ORIENTATION, "L\\F"},
};

static const struct kind {
    const char *modality, *sop_class;
    const struct attribute *attributes;
    size_t count;
    bool in_space; /* its images lie in the patient (Image Plane) */
} kinds[] = {
    {"MR", "1.2.840.10008.5.1.4.1.1.4", mr, LAM_COUNT(mr), true},
    {"CR", "1.2.840.10008.5.1.4.1.1.1", cr, LAM_COUNT(cr), false},
};

static const struct kind *find_kind(const char *modality)
{
    for (size_t i = 0; i < LAM_COUNT(kinds); i++)
        if (strcmp(kinds[i].modality, modality) == 0)
            return &kinds[i];
    return NULL;
}

/* ---- identity ---- */

static void derive_uid(const lam_synthetic *s, const char *role, int64_t index, char uid[LAM_UID_TEXT])
{
    char number[32], position[32];
    snprintf(number, sizeof number, "%lld", (long long)s->number);
    snprintf(position, sizeof position, "%lld", (long long)index);
    const char *texts[] = {"lamina synthetic",
                           s->algorithm.name,
                           s->algorithm.version,
                           s->algorithm.weights_sha256,
                           s->identity,
                           number,
                           role,
                           position};
    lam_uid_derive(texts, LAM_COUNT(texts), uid);
}

static void set_uid(const lam_synthetic *s, lam_dataset *out, lam_tag tag, const char *role, int64_t index)
{
    char uid[LAM_UID_TEXT];
    derive_uid(s, role, index, uid);
    lam_dataset_set_text(out, tag, uid);
}

/* A name nobody has, and an ID that no two drawings share. */
static void set_patient(const lam_synthetic *s, lam_dataset *out)
{
    char name[80], id[65], uid[LAM_UID_TEXT];
    derive_uid(s, "patient", 0, uid);
    snprintf(name, sizeof name, "SYNTHETIC^%.24s^%lld", s->algorithm.name, (long long)s->number + 1);
    snprintf(id, sizeof id, "SYNTHETIC-%.12s", uid + strlen("2.25."));
    lam_dataset_set_text(out, LAM_TAG_PATIENT_NAME, name);
    lam_dataset_set_text(out, LAM_TAG_PATIENT_ID, id);
}

/* Contributing Equipment (PS3.3 C.12.1.1.5): the network is the device that made the image. */
static void set_origin(const lam_synthetic *s, lam_dataset *out)
{
    static const lam_code modifying = {"109103", "DCM", "Modifying Equipment"};
    char text[65], comment[256];
    lam_dataset *item = lam_dataset_add(out, LAM_TAG_CONTRIBUTING_EQUIPMENT);
    lam_result_code(item, LAM_TAG_PURPOSE_CODES, modifying);
    lam_dataset_set_text(item, LAM_TAG_MANUFACTURER, "Lamina");
    lam_dataset_set_text(item, LAM_TAG_MODEL_NAME, lam_result_ascii(s->algorithm.name, 64, text));
    lam_dataset_set_text(item, LAM_TAG_SOFTWARE, lam_result_ascii(s->algorithm.version, 64, text));
    lam_dataset_set_text(item, LAM_TAG_SERIAL_NUMBER,
                         lam_result_ascii(s->algorithm.weights_sha256, 64, text));
    lam_dataset_set_text(item, LAM_TAG_CONTRIBUTION_DESCRIPTION, "Drew a synthetic image; no patient");
    snprintf(comment, sizeof comment, "SYNTHETIC - not of a patient, not for diagnosis%s%s",
             s->finding && *s->finding ? ". Asked for: " : "",
             s->finding ? lam_result_ascii(s->finding, 64, text) : "");
    lam_dataset_set_text(out, LAM_TAG_IMAGE_COMMENTS, comment);
    lam_dataset_set_text(out, LAM_TAG_MODEL_NAME, lam_result_ascii(s->algorithm.name, 64, text));
    lam_dataset_set_text(out, LAM_TAG_SOFTWARE, lam_result_ascii(s->algorithm.version, 64, text));
}

/* ---- space ---- */

/* The direction of a letter in patient coordinates, which grow to left, posterior, superior. */
static void direction(char letter, double out[3])
{
    static const char positive[] = "LPS", negative[] = "RAI";
    for (int k = 0; k < 3; k++)
        out[k] = letter == positive[k] ? 1 : letter == negative[k] ? -1 : 0;
}

static void set_place(const lam_synthetic *s, int64_t index, lam_dataset *out)
{
    const char *letters = *s->orientation ? s->orientation : "LPS";
    double axes[3][3], spacing[3], corner[3], at[3], cosines[6]; /* x, y, z */
    for (int a = 0; a < 3; a++) {
        direction(letters[a], axes[a]);
        spacing[a] = s->spacing_mm[2 - a] > 0 ? s->spacing_mm[2 - a] : 1;
    }
    for (int k = 0; k < 3; k++) {
        corner[k] = 0;
        for (int a = 0; a < 3; a++)
            corner[k] -= axes[a][k] * spacing[a] * (double)(s->size[2 - a] - 1) / 2;
        at[k] = corner[k] + axes[2][k] * spacing[2] * (double)index;
        cosines[k] = axes[0][k];
        cosines[3 + k] = axes[1][k];
    }
    lam_dataset_set_numbers(out, LAM_TAG_POSITION, at, 3);
    lam_dataset_set_numbers(out, LAM_TAG_ORIENTATION, cosines, 6);
    lam_dataset_set_numbers(out, LAM_TAG_PIXEL_SPACING, (double[]){spacing[1], spacing[0]}, 2);
    lam_dataset_set_number(out, LAM_TAG_SLICE_THICKNESS, spacing[2]);
    set_uid(s, out, LAM_TAG_FRAME_OF_REFERENCE, "frame of reference", 0);
}

/* ---- the object ---- */

static void set_pixels(const lam_synthetic *s, int64_t index, lam_dataset *out)
{
    const struct {
        lam_tag tag;
        double number;
    } numbers[] = {{LAM_TAG_ROWS, (double)s->size[1]},
                   {LAM_TAG_COLUMNS, (double)s->size[2]},
                   {LAM_TAG_BITS_ALLOCATED, 16},
                   {LAM_TAG_BITS_STORED, 12},
                   {LAM_TAG_HIGH_BIT, 11},
                   {LAM_TAG_PIXEL_SIGN, 0},
                   {LAM_TAG_SERIES_NUMBER, 1},
                   {LAM_TAG_INSTANCE_NUMBER, (double)index + 1}};
    size_t pixels = (size_t)(s->size[1] * s->size[2]);
    for (size_t i = 0; i < LAM_COUNT(numbers); i++)
        lam_dataset_set_number(out, numbers[i].tag, numbers[i].number);
    lam_dataset_set_bytes(out, LAM_TAG_PIXELS, s->pixels + (size_t)index * pixels,
                          pixels * sizeof *s->pixels);
}

static void set_texts(lam_dataset *out, const struct attribute *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        lam_dataset_set_text(out, list[i].tag, list[i].text);
}

static void set_series(const lam_synthetic *s, lam_dataset *out)
{
    static const lam_tag dates[] = {LAM_TAG_STUDY_DATE, LAM_TAG_SERIES_DATE, LAM_TAG_CONTENT_DATE};
    char text[65];
    for (size_t i = 0; i < LAM_COUNT(dates); i++)
        lam_dataset_set_text(out, dates[i], s->date);
    lam_dataset_set_text(out, LAM_TAG_MODALITY, s->modality);
    lam_dataset_set_text(out, LAM_TAG_SERIES_DESCRIPTION, lam_result_ascii(s->series_description, 64, text));
    lam_dataset_set_text(out, LAM_TAG_BODY_PART, lam_result_ascii(s->body_part, 16, text));
}

lam_status lam_synthetic_create(const lam_synthetic *series, int64_t index, lam_dataset **out, lam_error *err)
{
    LAM_AUTO_PTR(lam_dataset) *image = NULL;
    const struct kind *kind = find_kind(series->modality);
    if (!kind)
        return lam_fail(err, LAM_E_UNSUPPORTED, "synthetic series are of modality MR or CR, not '%.16s'",
                        series->modality);
    lam_status status = lam_dataset_create(&image, err);
    if (status)
        return status;
    set_texts(image, common, LAM_COUNT(common));
    set_texts(image, kind->attributes, kind->count);
    lam_dataset_set_text(image, LAM_TAG_SOP_CLASS, kind->sop_class);
    set_uid(series, image, LAM_TAG_STUDY, "study", 0);
    set_uid(series, image, LAM_TAG_SERIES, "series", 0);
    set_uid(series, image, LAM_TAG_SOP_INSTANCE, "image", index);
    set_patient(series, image);
    set_series(series, image);
    set_origin(series, image);
    if (kind->in_space)
        set_place(series, index, image);
    set_pixels(series, index, image);
    if ((status = lam_dataset_status(image, err)))
        return status;
    *out = LAM_TAKE_PTR(image);
    return LAM_OK;
}
