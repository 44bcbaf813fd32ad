#include "dicom/result.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/base/cleanup.h"
#include "dicom/tag.h"

#define NOT_FOR_CLINICAL_USE "Computed without human review. Not for clinical use."

void lam_result_uid(const lam_result *result, const char *role, char uid[LAM_UID_TEXT])
{
    const char *texts[] = {
        lam_dataset_text(lam_series_object(result->series, 0), LAM_TAG_SERIES, ""),
        result->input_set,
        result->algorithm.name,
        result->algorithm.version,
        result->algorithm.weights_sha256,
        role,
        lam_profile_name(result->profile),
        lam_seg_form_name(result->choices.seg_form),
    };
    lam_profile_choices usual = lam_profile_choose(result->profile);
    bool object = role[0] >= 'A' && role[0] <= 'Z';
    bool other_form = object && result->choices.seg_form != usual.seg_form;
    bool other_profile = other_form || (object && result->profile != LAM_PROFILE_STRICT);
    lam_uid_derive(texts, LAM_COUNT(texts) - !other_profile - !other_form, uid);
}

void lam_result_tracking_uid(const lam_result *result, const char *what, int number, char uid[LAM_UID_TEXT])
{
    char role[48];
    snprintf(role, sizeof role, "%s %d", what, number);
    lam_result_uid(result, role, uid);
}

int lam_result_segment_number(const lam_result *result, size_t index)
{
    const lam_findings *f = &result->findings;
    bool all = result->choices.empty_segments, some = false;
    for (size_t i = 0; i < f->segment_count; i++)
        some |= f->segments[i].voxels > 0;
    all |= !some;
    int number = 0;
    for (size_t i = 0; i <= index; i++)
        number += all || f->segments[i].voxels > 0;
    return all || f->segments[index].voxels > 0 ? number : 0;
}

const char *lam_result_notice(const lam_result *result)
{
    return result->notice ? result->notice : "not for diagnosis";
}

void lam_result_device_uid(const lam_result *result, char uid[LAM_UID_TEXT])
{
    const char *texts[] = {"lamina device", result->algorithm.name, result->algorithm.version,
                           result->algorithm.weights_sha256};
    lam_uid_derive(texts, LAM_COUNT(texts), uid);
}

const char *lam_result_ascii(const char *text, size_t most, char *out)
{
    size_t n = 0;
    for (const unsigned char *c = (const unsigned char *)(text ? text : ""); *c && n < most; c++) {
        if ((*c & 0xc0) == 0x80)
            continue; /* the rest of a character that is replaced once */
        out[n++] = *c >= 0x20 && *c < 0x7f && *c != '\\' ? (char)*c : '?';
    }
    out[n] = '\0';
    return out;
}

/* Seconds by which the dates and times of `source` are ahead of UTC: "&ZZXX" (PS3.3 C.12.1.1.8). False when
 * it does not say. */
static bool utc_offset_of(lam_dataset *source, time_t *seconds)
{
    const char *text = lam_dataset_text(source, LAM_TAG_UTC_OFFSET, "");
    if (strlen(text) != 5 || !strchr("+-", *text) || strspn(text + 1, "0123456789") != 4)
        return false;
    long number = strtol(text + 1, NULL, 10); /* HHMM */
    *seconds = (*text == '-' ? -60 : 60) * (60 * (number / 100) + number % 100);
    return true;
}

void lam_result_date(const lam_result *result, char date[16], char time[16])
{
    time_t seconds = (time_t)(result->made_ms / 1000), offset = 0;
    struct tm local;
    if (utc_offset_of(lam_series_slices(result->series)[0].object, &offset)) {
        seconds += offset;
        gmtime_r(&seconds, &local);
    } else {
        localtime_r(&seconds, &local);
    }
    strftime(date, 16, "%Y%m%d", &local);
    size_t n = strftime(time, 16, "%H%M%S", &local);
    snprintf(time + n, 16 - n, ".%03d000", (int)(result->made_ms % 1000));
}

void lam_result_code(lam_dataset *dataset, lam_tag sequence, lam_code code)
{
    char text[65];
    if (!code.value)
        return;
    lam_dataset *item = lam_dataset_add(dataset, sequence);
    lam_dataset_set_text(item, LAM_TAG_CODE_VALUE, lam_result_ascii(code.value, 16, text));
    lam_dataset_set_text(item, LAM_TAG_CODING_SCHEME, lam_result_ascii(code.scheme, 16, text));
    lam_dataset_set_text(item, LAM_TAG_CODE_MEANING, lam_result_ascii(code.meaning, 64, text));
}

void lam_result_reference(lam_dataset *item, const char *sop_class, const char *sop_instance)
{
    lam_dataset_set_text(item, LAM_TAG_REFERENCED_CLASS, sop_class);
    lam_dataset_set_text(item, LAM_TAG_REFERENCED_INSTANCE, sop_instance);
}

/* ---- sources ---- */

void lam_result_each_source(const lam_result *result, void (*each)(lam_dataset *source, void *context),
                            void *context)
{
    size_t count = (size_t)lam_series_grid(result->series)->size[0];
    for (size_t phase = 0; phase < lam_series_phases(result->series); phase++) {
        const lam_slice *slices = lam_series_slices_of(result->series, phase);
        for (size_t i = 0; i < count; i++)
            if (slices[i].frame == 0)
                each(slices[i].object, context);
    }
}

struct listing {
    lam_dataset *out, *series;
    lam_tag instances;
    const char *uid; /* of `series` */
};

static void list_source(lam_dataset *source, void *context)
{
    struct listing *listing = context;
    const char *uid = lam_dataset_text(source, LAM_TAG_SERIES, "");
    if (!listing->series || strcmp(uid, listing->uid) != 0) {
        listing->series = lam_dataset_add(listing->out, LAM_TAG_REFERENCED_SERIES);
        listing->uid = uid;
        lam_dataset_copy(listing->series, source, LAM_TAG_SERIES);
    }
    lam_result_reference(lam_dataset_add(listing->series, listing->instances),
                         lam_dataset_text(source, LAM_TAG_SOP_CLASS, ""),
                         lam_dataset_text(source, LAM_TAG_SOP_INSTANCE, ""));
}

void lam_result_add_sources(const lam_result *result, lam_tag instances, lam_dataset *out)
{
    struct listing listing = {.out = out, .instances = instances};
    lam_result_each_source(result, list_source, &listing);
}

/* ---- what is copied ---- */

typedef enum presence {
    TYPE_2, /* must be there, empty if the source lacks it */
    TYPE_3, /* only when the source has it */
} presence;

/* Patient, Clinical Trial Subject, General Study, Patient Study, Frame of Reference, SOP Common (PS3.3
 * C.7.1.1, C.7.1.3, C.7.2.1, C.7.2.2, C.7.4.1, C.12.1). */
static const struct {
    lam_tag tag;
    presence presence;
} copied[] = {
    {LAM_TAG_CHARACTER_SET, TYPE_3},
    {LAM_TAG_SYNTHETIC, TYPE_3},
    {LAM_TAG_UTC_OFFSET, TYPE_3},
    {LAM_TAG_PATIENT_NAME, TYPE_2},
    {LAM_TAG_PATIENT_ID, TYPE_2},
    {LAM_TAG(0x0010, 0x0021), TYPE_3}, /* IssuerOfPatientID */
    {LAM_TAG(0x0010, 0x0024), TYPE_3}, /* IssuerOfPatientIDQualifiersSequence */
    {LAM_TAG_BIRTH_DATE, TYPE_2},
    {LAM_TAG(0x0010, 0x0032), TYPE_3}, /* PatientBirthTime */
    {LAM_TAG_SEX, TYPE_2},
    {LAM_TAG(0x0010, 0x1002), TYPE_3}, /* OtherPatientIDsSequence */
    {LAM_TAG(0x0010, 0x1010), TYPE_3}, /* PatientAge */
    {LAM_TAG(0x0010, 0x1020), TYPE_3}, /* PatientSize */
    {LAM_TAG(0x0010, 0x1030), TYPE_3}, /* PatientWeight */
    {LAM_TAG(0x0010, 0x2160), TYPE_3}, /* EthnicGroup */
    {LAM_TAG(0x0010, 0x2201), TYPE_3}, /* PatientSpeciesDescription */
    {LAM_TAG(0x0012, 0x0010), TYPE_3}, /* ClinicalTrialSponsorName */
    {LAM_TAG(0x0012, 0x0020), TYPE_3}, /* ClinicalTrialProtocolID */
    {LAM_TAG(0x0012, 0x0021), TYPE_3}, /* ClinicalTrialProtocolName */
    {LAM_TAG(0x0012, 0x0030), TYPE_3}, /* ClinicalTrialSiteID */
    {LAM_TAG(0x0012, 0x0031), TYPE_3}, /* ClinicalTrialSiteName */
    {LAM_TAG(0x0012, 0x0040), TYPE_3}, /* ClinicalTrialSubjectID */
    {LAM_TAG(0x0012, 0x0042), TYPE_3}, /* ClinicalTrialSubjectReadingID */
    {LAM_TAG(0x0012, 0x0050), TYPE_3}, /* ClinicalTrialTimePointID */
    {LAM_TAG(0x0012, 0x0051), TYPE_3}, /* ClinicalTrialTimePointDescription */
    {LAM_TAG(0x0012, 0x0062), TYPE_3}, /* PatientIdentityRemoved */
    {LAM_TAG(0x0012, 0x0063), TYPE_3}, /* DeidentificationMethod */
    {LAM_TAG(0x0012, 0x0064), TYPE_3}, /* DeidentificationMethodCodeSequence */
    {LAM_TAG_STUDY, TYPE_2},
    {LAM_TAG_STUDY_DATE, TYPE_2},
    {LAM_TAG_STUDY_TIME, TYPE_2},
    {LAM_TAG_STUDY_ID, TYPE_2},
    {LAM_TAG_ACCESSION, TYPE_2},
    {LAM_TAG(0x0008, 0x0051), TYPE_3}, /* IssuerOfAccessionNumberSequence */
    {LAM_TAG_REFERRING_PHYSICIAN, TYPE_2},
    {LAM_TAG_STUDY_DESCRIPTION, TYPE_3},
    {LAM_TAG_PROCEDURE_CODES, TYPE_3},
};

static void copy_source(lam_dataset *out, lam_dataset *source)
{
    for (size_t i = 0; i < LAM_COUNT(copied); i++)
        if (!lam_dataset_copy(out, source, copied[i].tag) && copied[i].presence == TYPE_2)
            lam_dataset_set_empty(out, copied[i].tag);
}

/* ---- what is new ---- */

static void set_series(const lam_result *result, const lam_result_kind *kind, lam_dataset *out,
                       lam_dataset *source)
{
    char uid[LAM_UID_TEXT], role[32], date[16], time[16], text[65], description[80];
    int64_t source_number = 0;
    lam_dataset_set_text(out, LAM_TAG_MODALITY, kind->modality ? kind->modality : kind->kind);
    snprintf(role, sizeof role, "%s series", kind->kind);
    lam_result_uid(result, role, uid);
    lam_dataset_set_text(out, LAM_TAG_SERIES, uid);
    lam_dataset_integer(source, LAM_TAG_SERIES_NUMBER, 0, &source_number);
    if (source_number < 0 || source_number > 1000000)
        source_number = 0;
    lam_dataset_set_number(out, LAM_TAG_SERIES_NUMBER,
                           (double)(1000 * source_number + 10 * (int)result->profile + kind->series_offset));
    if (result->profile == LAM_PROFILE_STRICT)
        snprintf(description, sizeof description, "%.64s", kind->series_description);
    else /* beside the strict one in the same study */
        snprintf(description, sizeof description, "%.50s (%s)", kind->series_description,
                 lam_profile_name(result->profile));
    lam_dataset_set_text(out, LAM_TAG_SERIES_DESCRIPTION, lam_result_ascii(description, 64, text));
    lam_result_date(result, date, time);
    lam_dataset_set_text(out, LAM_TAG_SERIES_DATE, date);
    lam_dataset_set_text(out, LAM_TAG_SERIES_TIME, time);
}

static void set_equipment(const lam_device *device, lam_dataset *out)
{
    char text[65];
    lam_dataset_set_text(out, LAM_TAG_MANUFACTURER, lam_result_ascii(device->manufacturer, 64, text));
    lam_dataset_set_text(out, LAM_TAG_MODEL_NAME, lam_result_ascii(device->model_name, 64, text));
    lam_dataset_set_text(out, LAM_TAG_SERIAL_NUMBER, lam_result_ascii(device->serial, 64, text));
    lam_dataset_set_text(out, LAM_TAG_SOFTWARE, lam_result_ascii(device->software, 64, text));
}

/* The model as a device of its own (IHE AI Results 6.5.3.1.1): its UID changes with each version. */
static void add_contribution(const lam_result *result, lam_dataset *out)
{
    static const lam_code processing = {"109102", "DCM", "Processing Equipment"};
    char uid[LAM_UID_TEXT], text[65], date[16], time[16], date_time[32];
    lam_dataset *item = lam_dataset_add(out, LAM_TAG_CONTRIBUTING_EQUIPMENT);
    lam_result_code(item, LAM_TAG_PURPOSE_CODES, processing);
    lam_dataset_set_text(item, LAM_TAG_MANUFACTURER, lam_result_ascii(result->device.manufacturer, 64, text));
    lam_dataset_set_text(item, LAM_TAG_MODEL_NAME, lam_result_ascii(result->algorithm.name, 64, text));
    lam_dataset_set_text(item, LAM_TAG_SOFTWARE, lam_result_ascii(result->algorithm.version, 64, text));
    lam_dataset_set_text(item, LAM_TAG_SERIAL_NUMBER,
                         lam_result_ascii(result->algorithm.weights_sha256, 64, text));
    lam_result_device_uid(result, uid);
    lam_dataset_set_text(item, LAM_TAG_DEVICE_UID, uid);
    lam_result_date(result, date, time);
    snprintf(date_time, sizeof date_time, "%s%s", date, time);
    lam_dataset_set_text(item, LAM_TAG_CONTRIBUTION_DATE_TIME, date_time);
    lam_dataset_set_text(item, LAM_TAG_CONTRIBUTION_DESCRIPTION, NOT_FOR_CLINICAL_USE);
}

void lam_result_begin(const lam_result *result, const lam_result_kind *kind, lam_dataset *out)
{
    lam_dataset *source = lam_series_slices(result->series)[0].object;
    char uid[LAM_UID_TEXT], date[16], time[16];
    copy_source(out, source);
    lam_result_date(result, date, time);
    lam_dataset_set_text(out, LAM_TAG_SOP_CLASS, kind->sop_class);
    lam_result_uid(result, kind->kind, uid);
    lam_dataset_set_text(out, LAM_TAG_SOP_INSTANCE, uid);
    lam_dataset_set_text(out, LAM_TAG_CREATION_DATE, date);
    lam_dataset_set_text(out, LAM_TAG_CREATION_TIME, time);
    lam_dataset_set_text(out, LAM_TAG_CONTENT_DATE, date);
    lam_dataset_set_text(out, LAM_TAG_CONTENT_TIME, time);
    lam_dataset_set_number(out, LAM_TAG_INSTANCE_NUMBER, 1);
    set_series(result, kind, out, source);
    set_equipment(&result->device, out);
    add_contribution(result, out);
}
