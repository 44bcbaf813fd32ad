/* build/bench-results: how long and how much memory a segmentation object of a whole series takes, written to
 * a file. Sources are headers without pixels, labels are balls; the label map is part of the memory, as it is
 * in a worker.
 *
 *     bench-results SLICES ROWS COLUMNS SEGMENTS [REPEATS] */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/uid.h"
#include "dicom/seg.h"
#include "dicom/tag.h"
#include "dicom/transfer_syntax.h"
#include "dicom/validate.h"

typedef struct shape {
    long slices, rows, columns, segments, repeats;
} shape;

/* A CT header of slice z in a file without a name. */
static int make_header(const shape *s, long z, lam_error *err)
{
    char path[] = "/tmp/bench-results-XXXXXX", number[24], uid[LAM_UID_TEXT];
    LAM_AUTO_PTR(lam_dataset) *d = NULL;
    const double position[3] = {-250, -250, (double)z}, orientation[6] = {1, 0, 0, 0, 1, 0},
                 pixel[2] = {0.98, 0.98};
    snprintf(number, sizeof number, "%ld", z);
    const char *texts[] = {"bench", number};
    lam_uid_derive(texts, 2, uid);
    if (lam_dataset_create(&d, err) != LAM_OK)
        return -1;
    lam_dataset_set_text(d, LAM_TAG_SOP_CLASS, "1.2.840.10008.5.1.4.1.1.2");
    lam_dataset_set_text(d, LAM_TAG_SOP_INSTANCE, uid);
    lam_dataset_set_text(d, LAM_TAG_STUDY, "1.2.3");
    lam_dataset_set_text(d, LAM_TAG_SERIES, "1.2.3.4");
    lam_dataset_set_text(d, LAM_TAG_FRAME_OF_REFERENCE, "1.2.3.5");
    lam_dataset_set_text(d, LAM_TAG_PATIENT_ID, "BENCH");
    lam_dataset_set_text(d, LAM_TAG_MODALITY, "CT");
    lam_dataset_set_text(d, LAM_TAG_PHOTOMETRIC, "MONOCHROME2");
    lam_dataset_set_numbers(d, LAM_TAG_POSITION, position, 3);
    lam_dataset_set_numbers(d, LAM_TAG_ORIENTATION, orientation, 6);
    lam_dataset_set_numbers(d, LAM_TAG_PIXEL_SPACING, pixel, 2);
    const struct {
        lam_tag tag;
        double value;
    } numbers[] = {{LAM_TAG_SLICE_THICKNESS, 1},    {LAM_TAG_SAMPLES, 1},
                   {LAM_TAG_ROWS, (double)s->rows}, {LAM_TAG_COLUMNS, (double)s->columns},
                   {LAM_TAG_BITS_ALLOCATED, 16},    {LAM_TAG_BITS_STORED, 12},
                   {LAM_TAG_HIGH_BIT, 11},          {LAM_TAG_PIXEL_SIGN, 0}};
    for (size_t i = 0; i < LAM_COUNT(numbers); i++)
        lam_dataset_set_number(d, numbers[i].tag, numbers[i].value);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -1;
    unlink(path);
    return lam_dataset_write(d, fd, LAM_TS_EXPLICIT_LITTLE, err) == LAM_OK ? fd : (close(fd), -1);
}

static lam_status make_series(const shape *s, lam_series **out, lam_error *err)
{
    LAM_AUTO_PTR(lam_series) *series = NULL;
    lam_status status = lam_series_create(&series, err);
    for (long z = 0; z < s->slices && status == LAM_OK; z++) {
        lam_autoclose int fd = make_header(s, z, err);
        status = fd < 0 ? LAM_E_IO : lam_series_add(series, fd, err);
    }
    if (status == LAM_OK)
        status = lam_series_arrange(series, err);
    if (status == LAM_OK)
        *out = LAM_TAKE_PTR(series);
    return status;
}

/* A ball for each segment, on a lattice; a few segments reach through the whole volume, many are small. */
static void fill(const shape *s, uint8_t *labels, lam_segment *segments)
{
    long across = 1;
    while (across * across * across < s->segments)
        across++;
    for (long z = 0, i = 0; z < s->slices; z++)
        for (long y = 0; y < s->rows; y++)
            for (long x = 0; x < s->columns; x++, i++) {
                long cell = (z * across / s->slices * across + y * across / s->rows) * across +
                            x * across / s->columns;
                double dz = (double)(z * across % s->slices) / (double)s->slices - 0.5;
                double dy = (double)(y * across % s->rows) / (double)s->rows - 0.5;
                double dx = (double)(x * across % s->columns) / (double)s->columns - 0.5;
                labels[i] = 0; /* touched, as a network's answer is */
                if (cell < s->segments && dz * dz + dy * dy + dx * dx < 0.25) {
                    labels[i] = (uint8_t)(cell + 1);
                    segments[cell].voxels++;
                }
            }
}

static long peak_mb(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss / 1024;
}

static lam_status write_once(const lam_result *result, double *seconds, long *bytes, size_t *problems,
                             lam_error *err)
{
    LAM_AUTO_PTR(lam_dataset) *object = NULL;
    lam_autoclose int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    int64_t start = lam_clock_monotonic_ms();
    lam_status status = lam_seg_create(result, &object, err);
    if (status == LAM_OK)
        status = lam_dataset_write(object, fd, LAM_TS_EXPLICIT_LITTLE, err);
    *seconds = (double)(lam_clock_monotonic_ms() - start) / 1000;
    if (status != LAM_OK)
        return status;
    *bytes = lseek(fd, 0, SEEK_END);
    *problems = lam_validate(object, NULL, 0, NULL, NULL);
    return LAM_OK;
}

static lam_status run(const shape *s, lam_error *err)
{
    LAM_AUTO_PTR(lam_series) *series = NULL;
    static lam_segment segments[255];
    lam_autofree uint8_t *labels = malloc((size_t)(s->slices * s->rows * s->columns));
    if (!labels)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = make_series(s, &series, err);
    if (status != LAM_OK)
        return status;
    for (int i = 0; i < 255; i++)
        segments[i] = (lam_segment){.number = i + 1,
                                    .label = "Ball",
                                    .category = {"123037004", "SCT", "Anatomical Structure"},
                                    .type = {"10200004", "SCT", "Liver"}};
    fill(s, labels, segments);
    lam_result result = {
        .series = series,
        .input_set = "bench",
        .device = {"Lamina", "bench", "1", "1"},
        .algorithm = {"bench", "1", "0", "Bench"},
        .findings = {.labels = labels, .segments = segments, .segment_count = (size_t)s->segments},
        .choices = lam_profile_choose(LAM_PROFILE_STRICT)};
    for (long i = 0; i < s->repeats && status == LAM_OK; i++) {
        double seconds = 0;
        long bytes = 0;
        size_t problems = 0;
        status = write_once(&result, &seconds, &bytes, &problems, err);
        printf("seg %ldx%ldx%ld %ld segments  %.3f s  %.1f MB object  %ld MB peak  %zu problems\n", s->rows,
               s->columns, s->slices, s->segments, seconds, (double)bytes / 1e6, peak_mb(), problems);
    }
    return status;
}

int main(int argc, char **argv)
{
    lam_error err = {LAM_OK, ""};
    shape s = {350, 512, 512, 5, 3};
    long *const fields[] = {&s.slices, &s.rows, &s.columns, &s.segments, &s.repeats};
    for (int i = 1; i < argc && i <= (int)LAM_COUNT(fields); i++)
        *fields[i - 1] = strtol(argv[i], NULL, 10);
    if (s.slices < 1 || s.rows < 1 || s.columns < 1 || s.segments < 1 || s.segments > 255) {
        fprintf(stderr, "usage: bench-results SLICES ROWS COLUMNS SEGMENTS [REPEATS]\n");
        return 2;
    }
    lam_dicom_prepare();
    if (run(&s, &err) != LAM_OK) {
        fprintf(stderr, "bench-results: %s\n", err.message);
        return 1;
    }
    return 0;
}
