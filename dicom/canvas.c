#include "dicom/canvas.h"

#include <png.h>
#include <stdbool.h>
#include <stdio.h> /* before jpeglib.h, which needs FILE */
#include <stdlib.h>

#include <jpeglib.h>
#include <string.h>

#include "dicom/glyphs.h"

enum { MAX_SIDE = 16384, JPEG_PIECE = 64 * 1024 };

lam_status lam_canvas_init(lam_canvas *canvas, int width, int height, lam_error *err)
{
    if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE)
        return lam_fail(err, LAM_E_LIMIT, "a picture of %d×%d pixels", width, height);
    uint8_t *rgb = calloc((size_t)width * (size_t)height, 3);
    if (!rgb)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory for a picture of %d×%d pixels", width, height);
    *canvas = (lam_canvas){width, height, rgb};
    return LAM_OK;
}

void lam_canvas_done(lam_canvas *canvas)
{
    free(canvas->rgb);
    canvas->rgb = NULL;
}

void lam_canvas_set(lam_canvas *canvas, int x, int y, const uint8_t rgb[3])
{
    if (x >= 0 && y >= 0 && x < canvas->width && y < canvas->height)
        memcpy(canvas->rgb + 3 * ((size_t)y * (size_t)canvas->width + (size_t)x), rgb, 3);
}

void lam_canvas_fill(lam_canvas *canvas, int x, int y, int width, int height, const uint8_t rgb[3])
{
    for (int j = 0; j < height; j++)
        for (int i = 0; i < width; i++)
            lam_canvas_set(canvas, x + i, y + j, rgb);
}

int lam_canvas_text(lam_canvas *canvas, int x, int y, int scale, const uint8_t rgb[3], const char *text)
{
    for (; *text; text++, x += (LAM_GLYPH_WIDTH + 1) * scale) {
        const uint8_t *rows = lam_glyph_rows(*text);
        for (int j = 0; j < LAM_GLYPH_HEIGHT; j++)
            for (int i = 0; i < LAM_GLYPH_WIDTH; i++)
                if (rows[j] >> (LAM_GLYPH_WIDTH - 1 - i) & 1)
                    lam_canvas_fill(canvas, x + i * scale, y + j * scale, scale, scale, rgb);
    }
    return x;
}

int lam_canvas_text_width(const char *text, int scale)
{
    return (int)strlen(text) * (LAM_GLYPH_WIDTH + 1) * scale;
}

/* The encoders fail for want of room in the buffer, or of memory of their own. */
static lam_status fail_encoding(const lam_buffer *out, lam_error *err)
{
    return lam_fail(err, out->status != LAM_OK ? out->status : LAM_E_NO_MEMORY, "cannot encode a picture");
}

static void append(png_structp png, png_bytep bytes, png_size_t length)
{
    if (lam_buffer_append(png_get_io_ptr(png), bytes, length) != LAM_OK)
        png_error(png, "buffer is full");
}

static void flush(png_structp png)
{
    (void)png;
}

static _Noreturn void leave_png(png_structp png, png_const_charp message)
{
    (void)message; /* which libpng's own handler would write to standard error */
    png_longjmp(png, 1);
}

static void say_nothing_of_png(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

/* libpng leaves by longjmp when something fails; nothing here owns anything then but `png` and `info`. */
static bool write_rows(png_structp png, png_infop info, const lam_canvas *canvas, lam_buffer *out)
{
    if (setjmp(png_jmpbuf(png)))
        return false;
    png_set_write_fn(png, out, append, flush);
    png_set_IHDR(png, info, (png_uint_32)canvas->width, (png_uint_32)canvas->height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_filter(png, 0, PNG_FILTER_SUB); /* one cheap pass: the picture is looked at once, not archived */
    png_set_compression_level(png, 1);
    png_write_info(png, info);
    for (int y = 0; y < canvas->height; y++)
        png_write_row(png, canvas->rgb + 3 * (size_t)y * (size_t)canvas->width);
    png_write_end(png, info);
    return true;
}

lam_status lam_canvas_png(const lam_canvas *canvas, lam_buffer *out, lam_error *err)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, leave_png, say_nothing_of_png);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    bool written = info && write_rows(png, info, canvas, out);
    png_destroy_write_struct(&png, &info);
    return written ? LAM_OK : fail_encoding(out, err);
}

/* ---- JPEG ---- */

typedef struct jpeg_failure {
    struct jpeg_error_mgr manager; /* first: libjpeg gives back a pointer to it */
    jmp_buf leave;
} jpeg_failure;

static void leave_jpeg(j_common_ptr info)
{
    longjmp(((jpeg_failure *)(void *)info->err)->leave, 1);
}

static void say_nothing(j_common_ptr info)
{
    (void)info;
}

/* Into the buffer piece by piece: libjpeg's own destination in memory leaves a pointer to freed memory behind
 * when it runs out. */
typedef struct jpeg_sink {
    struct jpeg_destination_mgr manager; /* first, as above */
    lam_buffer *out;
} jpeg_sink;

static jpeg_sink *sink_of(j_compress_ptr info)
{
    return (jpeg_sink *)(void *)info->dest;
}

static void begin_piece(j_compress_ptr info)
{
    jpeg_sink *sink = sink_of(info);
    sink->manager.next_output_byte = (JOCTET *)lam_buffer_reserve(sink->out, JPEG_PIECE);
    sink->manager.free_in_buffer = JPEG_PIECE;
    if (!sink->manager.next_output_byte)
        leave_jpeg((j_common_ptr)info);
}

static boolean next_piece(j_compress_ptr info)
{
    sink_of(info)->out->length += JPEG_PIECE;
    begin_piece(info);
    return TRUE;
}

static void end_piece(j_compress_ptr info)
{
    sink_of(info)->out->length += JPEG_PIECE - info->dest->free_in_buffer;
}

/* libjpeg leaves by longjmp as well. */
static bool write_jpeg(const lam_canvas *canvas, int quality, lam_buffer *out)
{
    struct jpeg_compress_struct info;
    jpeg_failure failure;
    jpeg_sink sink = {
        {.init_destination = begin_piece, .empty_output_buffer = next_piece, .term_destination = end_piece},
        out};
    info.err = jpeg_std_error(&failure.manager);
    failure.manager.error_exit = leave_jpeg;
    failure.manager.output_message = say_nothing;
    if (setjmp(failure.leave)) {
        jpeg_destroy_compress(&info);
        return false;
    }
    jpeg_create_compress(&info);
    info.dest = &sink.manager;
    info.image_width = (JDIMENSION)canvas->width;
    info.image_height = (JDIMENSION)canvas->height;
    info.input_components = 3;
    info.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, quality, TRUE);
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
        JSAMPROW row = canvas->rgb + 3 * (size_t)info.next_scanline * (size_t)canvas->width;
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    return true;
}

lam_status lam_canvas_jpeg(const lam_canvas *canvas, int quality, lam_buffer *out, lam_error *err)
{
    return write_jpeg(canvas, quality, out) ? LAM_OK : fail_encoding(out, err);
}
