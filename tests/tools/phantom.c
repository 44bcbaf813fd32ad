/* lamina-phantom: writes a virtual MR series around one hippocampus, marked as synthetic in every header.
 *
 *     lamina-phantom DIRECTORY [option=value …]
 *
 * The anatomy is a function of patient coordinates; the images only sample it. So whatever the orientation,
 * order or matrix, the same tissue is at the same place in the patient, which is what tests of geometry need.
 * The same options give the same bytes. Not a medical image and no likeness of a person. */
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/base/uid.h"
#include "dicom/dataset.h"
#include "dicom/transfer_syntax.h"

#define MR_IMAGE "1.2.840.10008.5.1.4.1.1.4"

typedef struct options {
    long slices, rows, columns, seed;
    double spacing, pixel, thickness; /* between slices, between pixels, of a slice; mm */
    const char *orientation, *order, *patient_id, *description, *modality, *photometric, *transfer_syntax;
    long missing, repeated, turned, resized; /* number of a slice from 1; 0: none */
    double slope, intercept;
} options;

static const struct option {
    const char *name, *help;
    size_t offset;
    enum { INTEGER, REAL, TEXT } kind;
} table[] = {
#define OPTION(name, kind, help)                                                                             \
    {                                                                                                        \
#name, help, offsetof(options, name), kind                                                           \
    }
    OPTION(slices, INTEGER, "how many slices the whole stack has"),
    OPTION(rows, INTEGER, "of each image"),
    OPTION(columns, INTEGER, "of each image"),
    OPTION(spacing, REAL, "mm between slices"),
    OPTION(pixel, REAL, "mm between pixels"),
    OPTION(thickness, REAL, "mm of each slice; 0: as the spacing, so without gaps"),
    OPTION(orientation, TEXT, "axial, coronal, sagittal or oblique"),
    OPTION(order, TEXT, "how names and instance numbers run: up, down or mixed"),
    OPTION(missing, INTEGER, "leaves this slice out"),
    OPTION(repeated, INTEGER, "writes this slice twice"),
    OPTION(turned, INTEGER, "gives this slice another orientation"),
    OPTION(resized, INTEGER, "gives this slice one column less"),
    OPTION(patient_id, TEXT, "PatientID"),
    OPTION(description, TEXT, "SeriesDescription"),
    OPTION(modality, TEXT, "Modality; the images stay MR images"),
    OPTION(photometric, TEXT, "MONOCHROME1 or MONOCHROME2"),
    OPTION(slope, REAL, "RescaleSlope; 0 leaves the rescale out"),
    OPTION(intercept, REAL, "RescaleIntercept"),
    OPTION(transfer_syntax, TEXT, "UID; uncompressed or RLE"),
    OPTION(seed, INTEGER, "of the noise and of every UID"),
};

static const options defaults = {.slices = 40,
                                 .rows = 50,
                                 .columns = 34,
                                 .spacing = 1,
                                 .pixel = 1,
                                 .orientation = "axial",
                                 .order = "mixed",
                                 .patient_id = "SYNTHETIC-1",
                                 .description = "HippoCrop (synthetic)",
                                 .modality = "MR",
                                 .photometric = "MONOCHROME2",
                                 .transfer_syntax = LAM_TS_EXPLICIT_LITTLE,
                                 .seed = 1};

/* ---- anatomy: brightness at a place, in mm from the middle of the crop, along L, P and S ---- */

/* Cross-sections of the body in axial planes: height, centre (left, back), half-axes. */
static const struct section {
    double s, l, p, half_l, half_p;
} sections[] = {
    {-17, -1.0, -16.5, 0.5, 0.5}, {-14, -0.5, -15.0, 4.5, 4.0}, {-10, 0.0, -12.0, 8.0, 6.0},
    {-6, 1.5, -7.0, 9.0, 7.5},    {-2, 2.5, 0.0, 8.0, 7.5},     {2, 3.0, 5.5, 6.5, 6.0},
    {6, 1.5, 11.5, 6.0, 5.0},     {10, -1.0, 15.5, 5.5, 3.6},   {13, -2.5, 17.0, 4.0, 2.5},
    {16, -3.5, 18.0, 0.5, 0.5},
};

static double mix(double a, double b, double t)
{
    return a + (b - a) * t;
}

/* Signed distance from the body's surface in units of its half-axes: below 0 inside. */
static double body(const double at[3])
{
    size_t last = LAM_COUNT(sections) - 1;
    if (at[2] < sections[0].s || at[2] > sections[last].s)
        return 1 + fmin(fabs(at[2] - sections[0].s), fabs(at[2] - sections[last].s));
    size_t i = 0;
    while (i + 1 < last && at[2] > sections[i + 1].s)
        i++;
    const struct section *a = &sections[i], *b = &sections[i + 1];
    double t = (at[2] - a->s) / (b->s - a->s);
    double l = (at[0] - mix(a->l, b->l, t)) / mix(a->half_l, b->half_l, t);
    double p = (at[1] - mix(a->p, b->p, t)) / mix(a->half_p, b->half_p, t);
    return sqrt(l * l + p * p) - 1;
}

/* 0 below `from`, 1 above `to`, smooth between. */
static double step(double x, double from, double to)
{
    double t = fmin(1, fmax(0, (x - from) / (to - from)));
    return t * t * (3 - 2 * t);
}

/* Uniform in [0, 1), from a place's index and the seed. */
static double random_at(uint64_t key)
{
    key ^= key >> 30;
    key *= UINT64_C(0xbf58476d1ce4e5b9);
    key ^= key >> 27;
    key *= UINT64_C(0x94d049bb133111eb);
    key ^= key >> 31;
    return (double)(key >> 11) / 9007199254740992.0;
}

/* Inside an ellipsoid 1, outside 0, with a soft edge. */
static double blob(const double at[3], const double centre[3], const double half[3])
{
    double sum = 0;
    for (int k = 0; k < 3; k++)
        sum += (at[k] - centre[k]) * (at[k] - centre[k]) / (half[k] * half[k]);
    return 1 - step(sqrt(sum), 0.88, 1.12);
}

/* What lies around the body, from the outside in; brightness as a share of white matter's. */
static const struct tissue {
    double centre[3], half[3];
    double value, ripple; /* ripple: folds, as a share of the value */
} tissues[] = {
    {{12, -21, -8}, {16, 9, 14}, 0.55, 0.1},   /* cortex in front */
    {{-12, 17, -14}, {16, 14, 14}, 0.42, 0.7}, /* cerebellum */
    {{11, 12, -11}, {7, 12, 8}, 0.56, 0.1},    /* gyrus below the tail */
    {{-20, -8, -10}, {9, 14, 30}, 0.12, 0},    /* cistern */
    {{-23, -4, -10}, {9, 10, 26}, 0.86, 0.05}, /* brain stem */
    {{-9, -6, 15}, {15, 18, 12}, 0.90, 0.02},  /* thalamus */
    {{17, 2, 12}, {6, 22, 14}, 0.60, 0.15},    /* cortex beside */
    {{9, 23, 13}, {7, 7, 11}, 0.12, 0},        /* ventricle behind */
};

static double brightness(const double at[3])
{
    static const double white = 420, grey = 0.49, fluid = 0.14;
    double value = 0.95 + 0.05 * sin(at[0] / 7 + at[1] / 11) + 0.04 * sin(at[2] / 9 - at[1] / 13);
    for (size_t i = 0; i < LAM_COUNT(tissues); i++) {
        const struct tissue *t = &tissues[i];
        double folds = 1 + t->ripple * sin(1.1 * at[0] + 1.4 * at[1] + 0.8 * at[2]);
        value = mix(value, t->value * folds, blob(at, t->centre, t->half));
    }
    double inside = body(at);
    double coat = 1 - step(inside, 0.25, 0.4); /* white matter around it */
    value = mix(value, 0.92, coat * step(at[1], -12, -6));
    double horn = 1 - step(fabs(inside - 0.12), 0.04, 0.14);
    value = mix(value, fluid, horn * step(at[0], 2, 7) * (1 - step(at[2], 4, 10)));
    return white * mix(value, grey + 0.05 * sin(at[1] / 3), 1 - step(inside, -0.08, 0.06));
}

/* ---- images ---- */

typedef struct pose {
    double row[3], column[3], normal[3];
} pose;

static const struct {
    const char *name;
    double row[3], column[3];
} poses[] = {
    {"axial", {1, 0, 0}, {0, 1, 0}},
    {"coronal", {1, 0, 0}, {0, 0, -1}},
    {"sagittal", {0, 1, 0}, {0, 0, -1}},
    {"oblique", {0.98480775301221, 0, -0.17364817766693}, {0.04494346274, 0.96592582628907, 0.25488700224}},
};

static bool find_pose(const char *name, pose *out)
{
    for (size_t i = 0; i < LAM_COUNT(poses); i++) {
        if (strcmp(poses[i].name, name) != 0)
            continue;
        memcpy(out->row, poses[i].row, sizeof out->row);
        memcpy(out->column, poses[i].column, sizeof out->column);
        for (int k = 0; k < 3; k++)
            out->normal[k] = out->row[(k + 1) % 3] * out->column[(k + 2) % 3] -
                             out->row[(k + 2) % 3] * out->column[(k + 1) % 3];
        return true;
    }
    return false;
}

/* Centre of a pixel, the middle of the stack being the origin. */
static void place(const options *o, const pose *p, double slice, double row, double column, double out[3])
{
    double z = (slice - (double)(o->slices - 1) / 2) * o->spacing;
    double y = (row - (double)(o->rows - 1) / 2) * o->pixel,
           x = (column - (double)(o->columns - 1) / 2) * o->pixel;
    for (int k = 0; k < 3; k++)
        out[k] = z * p->normal[k] + y * p->column[k] + x * p->row[k];
}

/* Of the place in the patient, not of the pixel, so that noise too is the same in every orientation. */
static uint64_t noise_key(const options *o, const double at[3])
{
    uint64_t key = (uint64_t)o->seed;
    for (int k = 0; k < 3; k++)
        key = key * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)llround(8 * at[k]);
    return key;
}

static void fill_pixels(const options *o, const pose *p, long slice, long columns, uint16_t *pixels)
{
    bool inverted = strcmp(o->photometric, "MONOCHROME1") == 0;
    for (long row = 0; row < o->rows; row++)
        for (long column = 0; column < columns; column++) {
            double at[3];
            place(o, p, (double)slice, (double)row, (double)column, at);
            uint64_t key = noise_key(o, at);
            double noise = random_at(key) + random_at(~key) - 1;
            double value = fmax(0, brightness(at) + 30 * noise);
            if (o->slope > 0)
                value = fmax(0, (value - o->intercept) / o->slope);
            value = fmin(4095, floor(value + 0.5));
            *pixels++ = (uint16_t)(inverted ? 4095 - value : value);
        }
}

/* UIDs are functions of the options, so that a series written twice is the same. */
static void uid_for(const options *o, const char *role, long number, char uid[LAM_UID_TEXT])
{
    char seed[32], index[32], shape[160];
    snprintf(seed, sizeof seed, "%ld", o->seed);
    snprintf(index, sizeof index, "%ld", number);
    snprintf(shape, sizeof shape, "%ld %ld %ld %.6g %.6g %s %.32s %.32s", o->slices, o->rows, o->columns,
             o->spacing, o->pixel, o->orientation, o->description, o->modality);
    const char *texts[] = {"lamina phantom", o->patient_id, seed, role, index, number ? shape : ""};
    lam_uid_derive(texts, LAM_COUNT(texts), uid);
}

static void set_header(const options *o, lam_dataset *out)
{
    static const struct {
        lam_tag tag;
        const char *text;
    } texts[] = {
        {LAM_TAG_CHARACTER_SET, "ISO_IR 192"},
        {LAM_TAG_IMAGE_TYPE, "DERIVED\\SECONDARY\\OTHER"},
        {LAM_TAG_SOP_CLASS, MR_IMAGE},
        {LAM_TAG_STUDY_DATE, "20260101"},
        {LAM_TAG_STUDY_TIME, "120000"},
        {LAM_TAG_CONTENT_DATE, "20260101"},
        {LAM_TAG_CONTENT_TIME, "120000"},
        {LAM_TAG_ACCESSION, ""},
        {LAM_TAG_MANUFACTURER, "Lamina phantom"},
        {LAM_TAG_REFERRING_PHYSICIAN, ""},
        {LAM_TAG_STUDY_DESCRIPTION, "Synthetic study, no patient"},
        {LAM_TAG_DERIVATION_DESCRIPTION, "Synthetic image made by a program, not acquired from a patient"},
        {LAM_TAG_PATIENT_NAME, "Synthetic^Phantom"},
        {LAM_TAG_BIRTH_DATE, ""},
        {LAM_TAG_SEX, "O"},
        {LAM_TAG(0x0018, 0x0020), "GR"},    /* ScanningSequence */
        {LAM_TAG(0x0018, 0x0021), "NONE"},  /* SequenceVariant */
        {LAM_TAG(0x0018, 0x0022), ""},      /* ScanOptions */
        {LAM_TAG(0x0018, 0x0023), "3D"},    /* MRAcquisitionType */
        {LAM_TAG(0x0018, 0x0080), "10"},    /* RepetitionTime */
        {LAM_TAG(0x0018, 0x0081), "3"},     /* EchoTime */
        {LAM_TAG(0x0018, 0x0091), "1"},     /* EchoTrainLength */
        {LAM_TAG(0x0018, 0x0015), "BRAIN"}, /* BodyPartExamined */
        {LAM_TAG(0x0018, 0x5100), "HFS"},   /* PatientPosition */
        {LAM_TAG_STUDY_ID, "1"},
        {LAM_TAG_SERIES_NUMBER, "1"},
        {LAM_TAG_POSITION_INDICATOR, ""},
        {LAM_TAG_IMAGE_COMMENTS, "SYNTHETIC - not for diagnosis"},
    };
    for (size_t i = 0; i < LAM_COUNT(texts); i++)
        lam_dataset_set_text(out, texts[i].tag, texts[i].text);
    lam_dataset_set_text(out, LAM_TAG_PATIENT_ID, o->patient_id);
    lam_dataset_set_text(out, LAM_TAG_MODALITY, o->modality);
    lam_dataset_set_text(out, LAM_TAG_SERIES_DESCRIPTION, o->description);
}

static void set_place(const options *o, const pose *p, long slice, lam_dataset *out)
{
    /* Somewhere in a scanner, so that no coordinate is zero by chance. */
    static const double offset[3] = {-28.5, -12.25, -20.5};
    double at[3], orientation[6], pixel[2] = {o->pixel, o->pixel};
    place(o, p, (double)slice, 0, 0, at);
    for (int k = 0; k < 3; k++)
        at[k] += offset[k];
    memcpy(orientation, p->row, sizeof p->row);
    memcpy(orientation + 3, p->column, sizeof p->column);
    lam_dataset_set_numbers(out, LAM_TAG_POSITION, at, 3);
    lam_dataset_set_numbers(out, LAM_TAG_ORIENTATION, orientation, 6);
    lam_dataset_set_numbers(out, LAM_TAG_PIXEL_SPACING, pixel, 2);
    lam_dataset_set_number(out, LAM_TAG_SLICE_THICKNESS, o->thickness > 0 ? o->thickness : o->spacing);
}

static void set_uids(const options *o, long slice, bool again, lam_dataset *out)
{
    char uid[LAM_UID_TEXT];
    uid_for(o, "study", 0, uid);
    lam_dataset_set_text(out, LAM_TAG_STUDY, uid);
    uid_for(o, "frame of reference", 0, uid);
    lam_dataset_set_text(out, LAM_TAG_FRAME_OF_REFERENCE, uid);
    uid_for(o, "series", 1, uid);
    lam_dataset_set_text(out, LAM_TAG_SERIES, uid);
    uid_for(o, again ? "again" : "image", slice + 1, uid);
    lam_dataset_set_text(out, LAM_TAG_SOP_INSTANCE, uid);
}

static void set_pixels(const options *o, const pose *p, long slice, uint16_t *pixels, lam_dataset *out)
{
    long columns = slice + 1 == o->resized ? o->columns - 1 : o->columns;
    const struct {
        lam_tag tag;
        double number;
    } numbers[] = {
        {LAM_TAG_SAMPLES, 1},         {LAM_TAG_ROWS, (double)o->rows}, {LAM_TAG_COLUMNS, (double)columns},
        {LAM_TAG_BITS_ALLOCATED, 16}, {LAM_TAG_BITS_STORED, 12},       {LAM_TAG_HIGH_BIT, 11},
        {LAM_TAG_PIXEL_SIGN, 0}};
    for (size_t i = 0; i < LAM_COUNT(numbers); i++)
        lam_dataset_set_number(out, numbers[i].tag, numbers[i].number);
    lam_dataset_set_text(out, LAM_TAG_PHOTOMETRIC, o->photometric);
    if (o->slope > 0) {
        lam_dataset_set_number(out, LAM_TAG_SLOPE, o->slope);
        lam_dataset_set_number(out, LAM_TAG_INTERCEPT, o->intercept);
        lam_dataset_set_text(out, LAM_TAG_RESCALE_TYPE, "US");
    }
    fill_pixels(o, p, slice, columns, pixels);
    lam_dataset_set_bytes(out, LAM_TAG_PIXELS, pixels, (size_t)(o->rows * columns) * sizeof *pixels);
}

static long common_divisor(long a, long b)
{
    return b ? common_divisor(b, a % b) : a;
}

/* The number under which a slice is filed. */
static long number_of(const options *o, long slice)
{
    if (strcmp(o->order, "up") == 0)
        return slice + 1;
    if (strcmp(o->order, "down") == 0)
        return o->slices - slice;
    long stride = o->slices / 2 + 1; /* coprime, so that the walk meets every slice once, in neither order */
    while (common_divisor(stride, o->slices) != 1)
        stride++;
    return slice * stride % o->slices + 1;
}

static lam_status write_image(const options *o, int directory, long slice, bool again, uint16_t *pixels,
                              lam_error *err)
{
    LAM_AUTO_PTR(lam_dataset) *image = NULL;
    pose p;
    char name[32];
    find_pose(slice + 1 == o->turned ? (strcmp(o->orientation, "coronal") ? "coronal" : "axial")
                                     : o->orientation,
              &p);
    lam_status status = lam_dataset_create(&image, err);
    if (status != LAM_OK)
        return status;
    set_header(o, image);
    set_uids(o, slice, again, image);
    set_place(o, &p, slice, image);
    set_pixels(o, &p, slice, pixels, image);
    lam_dataset_set_number(image, LAM_TAG_INSTANCE_NUMBER, (double)number_of(o, slice));
    snprintf(name, sizeof name, "IM%05ld%s.dcm", number_of(o, slice), again ? "b" : "");
    lam_autoclose int file = openat(directory, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0)
        return lam_fail(err, LAM_E_IO, "cannot create %s", name);
    return lam_dataset_write(image, file, o->transfer_syntax, err);
}

static lam_status write_series(const options *o, const char *path, lam_error *err)
{
    lam_status status = lam_io_make_directories(path, 0755, err);
    if (status != LAM_OK)
        return status;
    lam_autoclose int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    lam_autofree uint16_t *pixels = calloc((size_t)(o->rows * o->columns), sizeof *pixels);
    if (directory < 0 || !pixels)
        return lam_fail(err, LAM_E_IO, "cannot write into %s", path);
    for (long slice = 0; slice < o->slices && status == LAM_OK; slice++) {
        if (slice + 1 != o->missing)
            status = write_image(o, directory, slice, false, pixels, err);
        if (slice + 1 == o->repeated && status == LAM_OK)
            status = write_image(o, directory, slice, true, pixels, err);
    }
    return status;
}

/* ---- command line ---- */

static bool set_option(options *o, const char *argument)
{
    const char *equals = strchr(argument, '=');
    for (size_t i = 0; equals && i < LAM_COUNT(table); i++) {
        size_t n = (size_t)(equals - argument);
        if (strlen(table[i].name) != n || strncmp(table[i].name, argument, n) != 0)
            continue;
        void *into = (char *)o + table[i].offset;
        char *end = NULL;
        if (table[i].kind == TEXT)
            *(const char **)into = equals + 1;
        else if (table[i].kind == INTEGER)
            *(long *)into = strtol(equals + 1, &end, 10);
        else
            *(double *)into = strtod(equals + 1, &end);
        return !end || (end > equals + 1 && *end == '\0');
    }
    return false;
}

static int usage(void)
{
    fputs("usage: lamina-phantom DIRECTORY [option=value ...]\n", stderr);
    for (size_t i = 0; i < LAM_COUNT(table); i++)
        fprintf(stderr, "  %-16s %s\n", table[i].name, table[i].help);
    return 2;
}

int main(int argc, char **argv)
{
    options o = defaults;
    lam_error err = {LAM_OK, ""};
    pose p;
    for (int i = 2; i < argc; i++)
        if (!set_option(&o, argv[i]))
            return usage();
    bool sound = o.slices > 0 && o.slices <= 2000 && o.rows > 0 && o.rows <= 2048 && o.columns > 1 &&
                 o.columns <= 2048 && o.spacing > 0 && o.pixel > 0 && find_pose(o.orientation, &p);
    if (argc < 2 || argv[1][0] == '-' || !sound)
        return usage();
    lam_dicom_prepare();
    if (write_series(&o, argv[1], &err) != LAM_OK) {
        fprintf(stderr, "lamina-phantom: %s\n", err.message);
        return 1;
    }
    printf("%s: a synthetic series of %ld slices\n", argv[1], o.slices);
    return 0;
}
